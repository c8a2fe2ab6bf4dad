#include "model/block_convolution.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

namespace millrace::model {
namespace {

TEST(ConvolveByBlocks, IsTheConvolutionItself) {
  at::manual_seed(3);
  for (const std::vector<std::int64_t>& sizes :
       std::vector<std::vector<std::int64_t>>{{2, 3, 2, 2}, {3, 3, 10, 16}, {1, 3, 32, 6}}) {
    SCOPED_TRACE(testing::Message() << at::IntArrayRef(sizes));
    const at::Tensor images =
        at::randn(sizes, at::kDouble).contiguous(c10::MemoryFormat::ChannelsLast);
    const at::Tensor weight = at::randn({8, 3, 7, 7}, at::kDouble)
                                  .contiguous(c10::MemoryFormat::ChannelsLast)
                                  .set_requires_grad(true);
    const at::Tensor wanted =
        at::conv2d(images, weight, /*bias=*/{}, /*stride=*/{2, 2}, /*padding=*/{3, 3});
    const at::Tensor found = ConvolveByBlocks(images, weight);
    ASSERT_EQ(found.sizes(), wanted.sizes());
    EXPECT_TRUE(found.is_contiguous(c10::MemoryFormat::ChannelsLast));
    EXPECT_LT((found - wanted).abs().max().item<double>(), 1e-12);
    const at::Tensor dy = at::randn_like(wanted);
    const at::Tensor gradient = torch::autograd::grad({found}, {weight}, {dy})[0];
    const at::Tensor wanted_gradient = torch::autograd::grad({wanted}, {weight}, {dy})[0];
    EXPECT_LT((gradient - wanted_gradient).abs().max().item<double>(), 1e-11);
  }
}

TEST(ConvolveByBlocks, IsNotForTheCpu) {
  const at::Tensor images =
      at::ones({1, 3, 8, 8}, at::kBFloat16).contiguous(c10::MemoryFormat::ChannelsLast);
  EXPECT_FALSE(GainsByBlocks(images, at::ones({8, 3, 7, 7})));
}

}  // namespace
}  // namespace millrace::model
