// Where the pixels of one sample come from: decided from the picture's size and the random key,
// before any decoding.
#pragma once

#include <cstdint>

namespace millrace::stages {

// A rectangle of whole pixels.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  bool operator==(const Box&) const = default;
};

struct Size {
  int width = 0;
  int height = 0;

  bool operator==(const Size&) const = default;
};

// Whose arithmetic a resize reproduces bit for bit.
enum class ResizeMode : std::uint8_t {
  kPillow,  // Pillow from 13 on: antialiased bilinear (triangle filter, 8 bits between the passes)
  kPillow12,  // the same up to Pillow 12, which chose the order of the two passes differently
  kOpenCv,  // OpenCV's INTER_LINEAR, which takes two pixels along each axis however much it shrinks
};

// A picture decoded in its own size (stages/decode_scale.h) [eighths].
inline constexpr int kFullScale = 8;

// The geometry of one sample: crop the picture, resize the crop, keep a window of the result, flip
// it. The resize sees only the crop (as `image.crop(box).resize(size)` in Pillow
// and `cv2.resize(image[box], size)`); the picture
// around it has no influence.
//
// At a scale below kFullScale the crop begins and ends within pixels of the smaller picture. The
// resize sees these pixels whole and takes the crop's place among them as it is:
// `small.crop(outer).resize(size, box=inner)` in Pillow, `outer` rounded outwards and `inner` the
// rest. Not in mode kOpenCv.
struct Geometry {
  Box crop;      // of the source picture, whatever the scale
  Size resized;  // the crop is resized to this
  Box window;    // of the resized crop; its size is the output's
  bool flip_horizontal = false;
  bool flip_vertical = false;
  ResizeMode mode = ResizeMode::kPillow;
  int scale = kFullScale;  // at which the picture is decoded [eighths]
};

}  // namespace millrace::stages
