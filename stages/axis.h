// One axis of a resize: which part of it, and where it lies.
#pragma once

namespace millrace::stages {

struct Axis {
  int crop = 0;       // pixels of the crop along this axis; of its first and last perhaps a part
  double start = 0;   // where in them the crop begins [pixels]
  double length = 0;  // how long it is [pixels]
  int resized = 0;    // what they become
  int begin = 0;      // first pixel kept of those
  int count = 0;      // how many are kept
  bool flip = false;  // the kept ones in reverse order

  bool operator==(const Axis&) const = default;
};

// A run of pixels of the crop.
struct Run {
  int begin = 0;
  int count = 0;
};

}  // namespace millrace::stages
