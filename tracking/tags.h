// Where a number stands in TensorBoard and at trackers: tags and axes as PyTorch-Ignite's ImageNet
// example has them, so that runs of both can be laid over each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tracking/event.h"

namespace millrace::tracking {

inline constexpr std::string_view kLossTag = "training/supervised batch loss";
inline constexpr std::string_view kAccuracyTag = "validation/Accuracy";

struct Place {
  std::string tag;
  std::uint64_t x = 0;  // the step in training, the epoch of evaluations
};

// Of the value called `name` in `scalars`.
Place PlaceOf(const Scalars& scalars, std::string_view name);

}  // namespace millrace::tracking
