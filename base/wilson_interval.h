// How far the rate that was counted on a sample may be from the one behind it.
#pragma once

#include <cstdint>

namespace millrace {

struct Interval {
  double low = 0;
  double high = 0;
};

// The 95 % score interval (E. B. Wilson, "Probable Inference, the Law of Succession, and
// Statistical Inference", Journal of the American Statistical Association 22, 1927, without
// continuity correction) of the rate of which `hits` of `trials` independent draws are a sample.
// Always within [0, 1], and of use near both ends, where the usual p +- 1.96 s is not. Without
// trials all of [0, 1]. REQUIRES: 0 <= hits <= trials
Interval WilsonInterval(std::int64_t hits, std::int64_t trials);

}  // namespace millrace
