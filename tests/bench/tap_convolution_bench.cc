// Weight gradients of convolutions over small images, by ATen's kernels and tap by tap: what
// GainsByTaps() chooses by.
//
//   build/release/tests/bench/tap_convolution_bench --benchmark_repetitions=5
//       --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true
//
// Each names samples, channels in and out, pixels each way and stride; kernels are 3 x 3.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include "model/tap_convolution.h"

namespace millrace::model {
namespace {

at::Tensor Random(at::IntArrayRef sizes) {
  return at::randn(sizes).contiguous(c10::MemoryFormat::ChannelsLast);
}

void WeightGradient(benchmark::State& state, bool by_taps) {
  const std::int64_t stride = state.range(4);
  const at::Tensor x = Random({state.range(0), state.range(1), state.range(3), state.range(3)});
  const at::Tensor weight = Random({state.range(2), state.range(1), 3, 3}).set_requires_grad(true);
  const at::Tensor y = by_taps ? ConvolveWithTaps(x, weight, stride)
                               : at::conv2d(x, weight, /*bias=*/{}, {stride, stride}, {1, 1});
  const at::Tensor dy = Random(y.sizes());
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        torch::autograd::grad({y}, {weight}, {dy}, /*retain_graph=*/true)[0].data_ptr());
  }
}

// ResNet-18's at 64 pixels, and the last ones of ResNets at 224.
void Sizes(benchmark::internal::Benchmark* bench) {
  bench->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
  bench->Args({64, 64, 64, 16, 1})->Args({64, 128, 128, 8, 1})->Args({64, 128, 128, 4, 1});
  bench->Args({64, 128, 256, 8, 2})->Args({64, 256, 256, 4, 1})->Args({64, 256, 256, 2, 1});
  bench->Args({64, 256, 512, 4, 2})->Args({64, 512, 512, 2, 1});
  bench->Args({32, 128, 128, 28, 1})->Args({32, 256, 256, 14, 1})->Args({32, 512, 512, 7, 1});
}

BENCHMARK_CAPTURE(WeightGradient, aten, false)->Apply(Sizes);
BENCHMARK_CAPTURE(WeightGradient, taps, true)->Apply(Sizes);

}  // namespace
}  // namespace millrace::model

BENCHMARK_MAIN();
