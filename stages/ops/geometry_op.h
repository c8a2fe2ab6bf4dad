// Operations that decide where an output's pixels come from. They fold into one Geometry, so that
// however many of them there are, every pixel is resampled once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/random.h"
#include "base/result.h"
#include "stages/geometry.h"

namespace millrace::stages {

// Operations of a list come in this order; only flips may come more than once. Other orders cannot
// be folded into one Geometry without changing pixels.
enum class GeometryPhase : std::uint8_t {
  kResample,    // random_resized_crop, resize
  kCenterCrop,  // center_crop
  kFlip,        // horizontal_flip, vertical_flip
};

// How lengths change where an output is to be smaller or larger than its list says: in proportion.
struct Scaling {
  int to = 1;
  int of = 1;

  // Rounded to the nearest pixel, halves up; never none.
  int operator()(int pixels) const {
    const std::int64_t twice = 2 * std::int64_t{pixels} * to;
    return static_cast<int>(std::max<std::int64_t>(1, (twice + of) / (2 * std::int64_t{of})));
  }
  Size operator()(Size size) const { return {(*this)(size.width), (*this)(size.height)}; }
};

// Immutable once it is scaled: any number of threads may use one object.
class GeometryOp {
 public:
  virtual ~GeometryOp() = default;

  // Changes the lengths of its output; not those of what it takes from the picture. Once, before
  // anything else is asked of it.
  virtual void Scale(const Scaling&) {}

  virtual GeometryPhase phase() const = 0;

  // The size that leaves this operation when pictures of size `before` enter it; nullopt where that
  // depends on the picture, on either side.
  virtual std::optional<Size> OutputSize(std::optional<Size> before) const = 0;

  // Whose resize it does; nullopt for an operation that resizes nothing.
  virtual std::optional<ResizeMode> resize_mode() const { return std::nullopt; }

  // Changes `geometry`, which holds what the operations before this one made of the picture; starts
  // with the whole picture as it is. A picture that the operation cannot be applied to is a Fault.
  virtual Outcome Fold(RandomStream random, Geometry* geometry) const = 0;
};

}  // namespace millrace::stages
