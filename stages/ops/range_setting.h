// Settings that are drawn from a range for each picture.
#pragma once

#include "base/params.h"
#include "base/random.h"

namespace millrace::stages {

// Both ends inclusive.
struct Range {
  double low = 0;
  double high = 0;

  double Draw(RandomStream* random) const { return random->Uniform(low, high); }
  bool operator==(const Range&) const = default;
};

// Two ascending numbers within [low, high].
Range ReadRange(const Params& params, const char* key, double low, double high, Range fallback);

// Two ascending numbers, or one: so far around `center` to either side, never below `low`. As
// torchvision's and albumentations' settings that take both.
Range ReadRangeAround(const Params& params, const char* key, double center, double low, double high,
                      double fallback);

// `p` of the operation: how many of the pictures it changes.
double ReadProbability(const Params& params, double fallback);

}  // namespace millrace::stages
