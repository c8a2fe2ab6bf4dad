#include "model/block_convolution.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "model/precision.h"
#include "tests/gpu/device.h"

namespace millrace::model {
namespace {

using BlockConvolutionOnDevice = test::OnDevice;

TEST_F(BlockConvolutionOnDevice, IsTheConvolutionInFloat64) {
  at::manual_seed(3);
  const auto on_gpu = at::TensorOptions(at::kCUDA).dtype(at::kFloat);
  for (const Amp amp : {Amp::kBf16, Amp::kFp16}) {
    const c10::ScalarType type = Precision{.amp = amp}.image_type();
    const at::Tensor images =
        at::randn({4, 3, 64, 224}, on_gpu).to(type).contiguous(c10::MemoryFormat::ChannelsLast);
    // Numbers of the type, so that nothing but the answer is rounded.
    const at::Tensor weight = (at::randn({64, 3, 7, 7}, on_gpu) / 12)
                                  .to(type)
                                  .to(at::kFloat)
                                  .contiguous(c10::MemoryFormat::ChannelsLast)
                                  .set_requires_grad(true);
    ASSERT_TRUE(GainsByBlocks(images, weight));
    at::Tensor found;
    {
      const Autocast autocast(amp, c10::kCUDA);
      found = ConvolveByBlocks(images, weight);
    }
    const at::Tensor wide = weight.detach().to(at::kDouble).set_requires_grad(true);
    const at::Tensor wanted = at::conv2d(images.to(at::kDouble), wide, /*bias=*/{},
                                         /*stride=*/{2, 2}, /*padding=*/{3, 3});
    EXPECT_EQ(found.scalar_type(), type);
    ASSERT_EQ(found.sizes(), wanted.sizes());
    EXPECT_TRUE(found.is_contiguous(c10::MemoryFormat::ChannelsLast));
    EXPECT_LT((found.to(at::kDouble) - wanted).abs().max().item<double>(), 0.02);
    const at::Tensor dy = at::randn_like(found);
    const at::Tensor gradient = torch::autograd::grad({found}, {weight}, {dy})[0];
    const at::Tensor wanted_gradient =
        torch::autograd::grad({wanted}, {wide}, {dy.to(at::kDouble)})[0];
    EXPECT_EQ(gradient.scalar_type(), at::kFloat);
    EXPECT_LT((gradient.to(at::kDouble) - wanted_gradient).abs().max().item<double>() /
                  wanted_gradient.abs().max().item<double>(),
              0.02);
  }
}

}  // namespace
}  // namespace millrace::model
