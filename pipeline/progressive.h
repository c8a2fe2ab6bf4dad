// How large training pictures are in each epoch, where they grow while the run goes on
// (`data.train.progressive`).
#pragma once

#include <cstdint>

#include "base/params.h"
#include "stages/geometry.h"

namespace millrace::pipeline {

// Square pictures, whose side is `from` at first, grows from one epoch to the next, and in the end
// is what the loader's ops make: the largest. Epochs count from 0.
struct Progressive {
  int from = 0;                   // side up to begin_epoch [pixels]
  std::uint32_t begin_epoch = 0;  // the last one of `from`
  std::uint32_t end_epoch = 0;    // the first one of the largest
  int step = 0;                   // all sides are multiples of it [pixels]
  Params section;                 // its own, to blame
};

// Throws Error (exit code 2) naming the setting.
Progressive ReadProgressive(const Params& section);

// Throws Error (exit code 2) when pictures cannot grow so to the `largest`, which the ops make.
void CheckProgressive(const Progressive& progressive, stages::Size largest);

// The side in `epoch` [pixels], `largest` the one in the end: linear in between, to the nearest
// multiple of `step`. get_resolution() of FFCV's train_imagenet.py with numpy's rounding, bit for
// bit: where a side is in the middle of two multiples it goes to the even one. Never smaller than
// in the epoch before.
int SideInEpoch(const Progressive& progressive, int largest, std::uint32_t epoch);

}  // namespace millrace::pipeline
