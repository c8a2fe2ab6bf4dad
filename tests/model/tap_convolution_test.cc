#include "model/tap_convolution.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdint>

namespace millrace::model {
namespace {

at::Tensor ChannelsLast(const at::Tensor& tensor) {
  return tensor.contiguous(c10::MemoryFormat::ChannelsLast);
}

TEST(ConvolveWithTaps, IsTheConvolutionItself) {
  at::manual_seed(3);
  for (const std::int64_t kernel : {1, 3, 5, 7}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      for (std::int64_t height = 1; height <= 7; ++height) {
        const std::int64_t width = 8 - height;
        SCOPED_TRACE(testing::Message() << "kernel " << kernel << ", stride " << stride << ", "
                                        << height << " x " << width);
        const at::Tensor x =
            ChannelsLast(at::randn({2, 5, height, width}, at::kDouble)).set_requires_grad(true);
        const at::Tensor weight =
            ChannelsLast(at::randn({4, 5, kernel, kernel}, at::kDouble)).set_requires_grad(true);
        const at::Tensor wanted =
            at::conv2d(x, weight, /*bias=*/{}, {stride, stride}, {kernel / 2, kernel / 2});
        const at::Tensor found = ConvolveWithTaps(x, weight, stride);
        EXPECT_TRUE(found.equal(wanted));
        // As a loss gives them: not in channels last.
        const at::Tensor dy =
            at::randn_like(wanted, wanted.options(), at::MemoryFormat::Contiguous);
        const auto gradients = torch::autograd::grad({found}, {x, weight}, {dy});
        const auto wanted_gradients = torch::autograd::grad({wanted}, {x, weight}, {dy});
        EXPECT_LT((gradients[0] - wanted_gradients[0]).abs().max().item<double>(), 1e-12);
        EXPECT_LT((gradients[1] - wanted_gradients[1]).abs().max().item<double>(), 1e-12);
        EXPECT_TRUE(gradients[1].is_contiguous(c10::MemoryFormat::ChannelsLast));
      }
    }
  }
}

TEST(ConvolveWithTaps, ImagesThatNeedNoGradientGetNone) {
  const at::Tensor x = ChannelsLast(at::ones({1, 2, 3, 3}));
  const at::Tensor weight = ChannelsLast(at::ones({1, 2, 3, 3})).set_requires_grad(true);
  const auto gradients = torch::autograd::grad({ConvolveWithTaps(x, weight, 2).sum()}, {weight});
  // Each corner tap meets one of the four outputs, those beside it two, the middle all.
  const at::Tensor counts = at::tensor({1, 2, 1, 2, 4, 2, 1, 2, 1}, at::kFloat).view({3, 3});
  EXPECT_TRUE(gradients[0].equal(counts.expand({1, 2, 3, 3})));
}

// Where it is worth it by size: 256 channels over 2 x 2 pixels.
class GainsByTapsTest : public testing::Test {
 protected:
  const bool gains_ = at::get_cpu_capability() != "AVX512";
  const at::Tensor x_ = ChannelsLast(at::ones({1, 256, 2, 2}));
  const at::Tensor weight_ = ChannelsLast(at::ones({256, 256, 3, 3})).set_requires_grad(true);
};

TEST_F(GainsByTapsTest, ManyChannelsOverSmallImagesGain) {
  EXPECT_EQ(GainsByTaps(x_, weight_, /*stride=*/1), gains_);
  const at::Tensor half = ChannelsLast(at::ones({128, 128, 3, 3})).set_requires_grad(true);
  EXPECT_EQ(GainsByTaps(ChannelsLast(at::ones({1, 128, 7, 7})), half, /*stride=*/2), gains_);
}

TEST_F(GainsByTapsTest, FewChannelsOverLargerImagesDoNot) {
  const at::Tensor half = ChannelsLast(at::ones({128, 128, 3, 3})).set_requires_grad(true);
  EXPECT_FALSE(GainsByTaps(ChannelsLast(at::ones({1, 128, 7, 7})), half, /*stride=*/1));
  const at::Tensor few = ChannelsLast(at::ones({512, 64, 3, 3})).set_requires_grad(true);
  EXPECT_FALSE(GainsByTaps(ChannelsLast(at::ones({1, 64, 2, 2})), few, /*stride=*/1));
}

TEST_F(GainsByTapsTest, WhatAtensKernelsDoOtherwiseIsLeftToThem) {
  const at::Tensor single = ChannelsLast(at::ones({256, 256, 1, 1})).set_requires_grad(true);
  EXPECT_FALSE(GainsByTaps(x_, single, /*stride=*/1)) << "a product of matrices anyway";
  EXPECT_FALSE(GainsByTaps(x_, weight_.detach(), /*stride=*/1)) << "no gradient";
  EXPECT_FALSE(GainsByTaps(x_.contiguous(), weight_, /*stride=*/1)) << "channels first";
  EXPECT_FALSE(GainsByTaps(x_.to(at::kBFloat16), weight_, /*stride=*/1));
  const c10::AutoGradMode evaluates(false);
  EXPECT_FALSE(GainsByTaps(x_, weight_, /*stride=*/1));
}

}  // namespace
}  // namespace millrace::model
