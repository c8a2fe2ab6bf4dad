#include "model/stochastic_depth.h"

#include <ATen/ATen.h>

#include "base/check.h"
#include "base/random.h"

namespace millrace::model {

// Beyond the operations of any recipe, whose draws have the indices from 0 on.
constexpr std::uint32_t kStream = 0xFFFF;

at::Tensor DrawDepth(double rate, std::int64_t blocks, std::uint64_t seed, std::uint32_t epoch,
                     std::span<const std::uint64_t> sample_ids) {
  MILLRACE_CHECK(rate >= 0 && rate < 1 && blocks >= 2);
  at::Tensor factors =
      at::empty({static_cast<std::int64_t>(sample_ids.size()), blocks}, at::kFloat);
  float* at = factors.mutable_data_ptr<float>();
  for (const std::uint64_t id : sample_ids) {
    RandomStream random({.seed = seed, .epoch = epoch, .sample_id = id}, kStream);
    for (std::int64_t block = 0; block < blocks; ++block) {
      const double left_out = rate * static_cast<double>(block) / static_cast<double>(blocks - 1);
      *at++ = random.Uniform() < left_out ? 0.0F : static_cast<float>(1 / (1 - left_out));
    }
  }
  return factors;
}

}  // namespace millrace::model
