// Batch normalisation with what follows it, on the device: against ATen in float64, for the shapes
// of ResNet-50's layers.
#include "model/fused_norm.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "base/gpu/kernel_module.h"
#include "model/gpu/norm_sources.h"
#include "tests/gpu/device.h"
#include "tests/model/gpu/norm_reference.h"

namespace millrace::model {
namespace {

using test::ExpectNear;
using test::NormAnswer;
using test::NormCase;

constexpr auto kOrder = c10::MemoryFormat::ChannelsLast;

TEST(NormSources, CompileForEveryDevice) {
  for (const char* source : {"norm_bfloat16.cu", "norm_float16.cu", "norm_float32.cu"}) {
    for (const int capability : {75, 90, 100}) {
      EXPECT_GT(CompileKernels(gpu::NormSources(), source, capability).size(), 1000u);
    }
  }
}

struct Kind {
  const char* name;
  bool relu;
  bool pool;
  bool residual;
  bool two;  // take what comes out
};
constexpr Kind kKinds[] = {
    {"alone", false, false, false, false}, {"rectified", true, false, false, false},
    {"pooled", true, true, false, false},  {"pooled and forked", true, true, false, true},
    {"added", true, false, true, false},   {"added and forked", true, false, true, true}};
constexpr const Kind& kAdded = kKinds[4];
constexpr const Kind& kForked = kKinds[5];

class FusedNormOnDevice : public test::OnDevice {
 protected:
  static NormCase RandomCase(const std::vector<std::int64_t>& sizes, at::ScalarType type,
                             const Kind& kind) {
    at::manual_seed(static_cast<std::uint64_t>(sizes[1] + sizes[2]));
    const auto normal = [](at::IntArrayRef of) {
      return at::randn(of, at::TensorOptions(at::kCUDA).dtype(at::kFloat));
    };
    std::vector<std::int64_t> behind = sizes;
    if (kind.pool) behind = {sizes[0], sizes[1], (sizes[2] + 1) / 2, (sizes[3] + 1) / 2};
    const auto pictures = [&] { return normal(behind).to(type).contiguous(kOrder); };
    NormCase made;
    made.x = (normal(sizes) * 3 + normal({1, sizes[1], 1, 1})).to(type).contiguous(kOrder);
    made.weight = normal({sizes[1]});
    made.bias = normal({sizes[1]});
    made.relu = kind.relu;
    made.pool = kind.pool;
    made.dy = pictures();
    if (kind.residual) made.residual = pictures();
    if (kind.two) made.dy_too = pictures();
    return made;
  }

  static BatchNorm2d NormOf(const NormCase& with) {
    BatchNorm2d norm(with.weight.size(0));
    norm.weight = with.weight.detach().clone();
    norm.bias = with.bias.detach().clone();
    norm.running_mean = norm.running_mean.cuda();
    norm.running_var = norm.running_var.cuda();
    norm.num_batches_tracked = norm.num_batches_tracked.cuda();
    norm.Finish();
    return norm;
  }

  static NormAnswer Fused(const NormCase& with, const BatchNorm2d& norm) {
    const auto leaf = [](const at::Tensor& tensor) {
      return tensor.detach().set_requires_grad(true);
    };
    std::vector<at::Tensor> inputs = {leaf(with.x), norm.weight, norm.bias};
    Fork y;
    if (with.residual.defined()) {
      inputs.push_back(leaf(with.residual));
      y = FusedNormAddRelu(norm, inputs[0], inputs[3], true);
    } else if (with.pool) {
      y = FusedNormReluPool(norm, inputs[0], true);
    } else {
      y.on = with.relu ? FusedNormRelu(norm, inputs[0], true) : FusedNorm(norm, inputs[0], true);
    }
    std::vector<at::Tensor> outputs = {y.on};
    std::vector<at::Tensor> gradients = {with.dy};
    if (with.dy_too.defined()) {
      outputs.push_back(y.shortcut);
      gradients.push_back(with.dy_too);
    }
    const auto found = torch::autograd::grad(outputs, inputs, gradients);
    return {.y = y.on.detach(),
            .running_mean = norm.running_mean,
            .running_var = norm.running_var,
            .dx = found[0],
            .weight_gradient = found[1],
            .bias_gradient = found[2],
            .residual_gradient = found.size() > 3 ? found[3] : at::Tensor()};
  }

  static std::vector<at::Tensor> All(const NormAnswer& answer) {
    std::vector<at::Tensor> all = {answer.y,  answer.running_mean,    answer.running_var,
                                   answer.dx, answer.weight_gradient, answer.bias_gradient};
    if (answer.residual_gradient.defined()) all.push_back(answer.residual_gradient);
    return all;
  }

  static void ExpectSameBits(const NormAnswer& a, const NormAnswer& b) {
    const auto first = All(a);
    const auto second = All(b);
    ASSERT_EQ(first.size(), second.size());
    for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(at::equal(first[i], second[i])) << i;
  }
};

TEST_F(FusedNormOnDevice, GivesWhatAtenGivesInFloat64) {
  // Channels of all of ResNet-50's layers; odd numbers of pixels, and more than all blocks take in
  // one round.
  const std::vector<std::vector<std::int64_t>> shapes = {
      {2, 8, 3, 3},     {3, 24, 5, 7},    {9, 64, 113, 111}, {7, 64, 57, 55}, {5, 128, 29, 57},
      {3, 256, 57, 55}, {5, 512, 27, 29}, {7, 1024, 13, 15}, {3, 2048, 7, 7}, {33, 2048, 7, 7}};
  for (const auto& shape : shapes) {
    for (const Kind& kind : kKinds) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
        SCOPED_TRACE(testing::Message()
                     << at::IntArrayRef(shape) << ", " << kind.name << ", " << type);
        const NormCase with = RandomCase(shape, type, kind);
        const BatchNorm2d norm = NormOf(with);
        ASSERT_TRUE(TakesFusedNorm(with.x, true));
        ExpectNear(Fused(with, norm), test::NormByAten(with), type);
        EXPECT_EQ(norm.num_batches_tracked.item<std::int64_t>(), 1);
      }
    }
  }
}

TEST_F(FusedNormOnDevice, SameNumbersGiveTheSameBits) {
  for (const Kind& kind : kKinds) {
    const NormCase with = RandomCase({16, 256, 56, 56}, at::kBFloat16, kind);
    const NormAnswer first = Fused(with, NormOf(with));
    for (int i = 0; i < 3; ++i) ExpectSameBits(first, Fused(with, NormOf(with)));
  }
}

TEST_F(FusedNormOnDevice, GraphGivesTheBitsOfTheStepItself) {
  for (const Kind& kind : kKinds) {
    const NormCase with = RandomCase({4, 64, 56, 56}, at::kBFloat16, kind);
    const NormAnswer wanted = Fused(with, NormOf(with));
    const BatchNorm2d norm = NormOf(with);
    c10::cuda::device_synchronize();
    at::cuda::CUDAGraph graph;
    NormAnswer found;
    {
      const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
      graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      found = Fused(with, norm);
      graph.capture_end();
      graph.replay();
      c10::cuda::device_synchronize();
    }
    ExpectSameBits(wanted, found);
  }
}

TEST_F(FusedNormOnDevice, EvaluatesAsAtenDoesInFloat64) {
  const c10::InferenceMode inference;
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{3, 24, 5, 7}, {7, 64, 57, 55}, {3, 2048, 7, 7}}) {
    for (const Kind& kind : kKinds) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
        SCOPED_TRACE(testing::Message()
                     << at::IntArrayRef(shape) << ", " << kind.name << ", " << type);
        const NormCase with = RandomCase(shape, type, kind);
        BatchNorm2d norm = NormOf(with);
        norm.running_mean = at::randn_like(norm.running_mean);
        norm.running_var = at::rand_like(norm.running_var) + 0.5;
        const at::Tensor y = with.residual.defined()
                                 ? FusedNormAddRelu(norm, with.x, with.residual, false).on
                             : with.pool ? FusedNormReluPool(norm, with.x, false).on
                             : with.relu ? FusedNormRelu(norm, with.x, false)
                                         : FusedNorm(norm, with.x, false);
        const double rounding = type == at::kFloat ? 2e-6 : type == at::kHalf ? 0x1p-11 : 0x1p-8;
        EXPECT_LT(test::Distance(y, test::NormInEvaluation(with, norm)), rounding);
      }
    }
  }
}

TEST_F(FusedNormOnDevice, OnlyTheShortcutMayBeTaken) {
  NormCase with = RandomCase({2, 16, 9, 9}, at::kFloat, kAdded);
  const BatchNorm2d norm = NormOf(with);
  const at::Tensor x = with.x.detach().set_requires_grad(true);
  const Fork y = FusedNormAddRelu(norm, x, with.residual, true);
  const auto found = torch::autograd::grad({y.shortcut}, {x}, {with.dy});
  EXPECT_LT(test::Distance(found[0], test::NormByAten(with).dx), 2e-5);
}

TEST_F(FusedNormOnDevice, OtherOrdersOfGradientsAndResidualAreTaken) {
  NormCase with = RandomCase({3, 64, 7, 9}, at::kFloat, kForked);
  const NormAnswer wanted = test::NormByAten(with);
  with.dy = with.dy.contiguous();
  with.dy_too = with.dy_too.contiguous();
  with.residual = with.residual.contiguous();
  ExpectNear(Fused(with, NormOf(with)), wanted, at::kFloat);
}

TEST_F(FusedNormOnDevice, TakesNothingElse) {
  const auto on_gpu = at::TensorOptions(at::kCUDA).dtype(at::kFloat);
  const auto ones = [](at::IntArrayRef sizes, at::TensorOptions options) {
    return at::ones(sizes, options).contiguous(kOrder);
  };
  EXPECT_TRUE(TakesFusedNorm(ones({2, 8, 3, 3}, on_gpu), true));
  EXPECT_FALSE(TakesFusedNorm(ones({2, 8, 3, 3}, on_gpu), false)) << "gradients might be wanted";
  EXPECT_FALSE(TakesFusedNorm(at::ones({2, 8, 3, 3}, on_gpu), true));
  EXPECT_FALSE(TakesFusedNorm(ones({2, 8, 3, 3}, at::kFloat), true));
  EXPECT_FALSE(TakesFusedNorm(ones({2, 12, 3, 3}, on_gpu), true));
  EXPECT_FALSE(TakesFusedNorm(ones({2, 8, 3, 3}, on_gpu.dtype(at::kDouble)), true));
  EXPECT_FALSE(TakesFusedNorm(ones({1, 8, 1, 1}, on_gpu), true));
}

}  // namespace
}  // namespace millrace::model
