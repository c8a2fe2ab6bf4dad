// What people look at behind an evaluation, and what making it costs a training run.
//
//   build/release/tests/bench/evaluation_bench
//
// Histograms are counted on the lane's thread, which trains no sample meanwhile; pictures are drawn
// on a thread that gives way.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/value_histogram.h"
#include "tracking/prediction_sheet.h"

namespace millrace {
namespace {

// Values per second: ResNet-18 has 11 million weights and as many gradients.
void BM_CountValues(benchmark::State& state) {
  const at::Tensor values = at::randn({std::int64_t{1} << 22}) * 0.05;
  for (auto _ : state) benchmark::DoNotOptimize(model::CountValues(values));
  state.SetItemsProcessed(state.iterations() * values.numel());
}
BENCHMARK(BM_CountValues)->Unit(benchmark::kMillisecond);

// A sheet of twelve samples of so many pixels a side.
void BM_DrawPredictions(benchmark::State& state) {
  const auto side = static_cast<std::uint32_t>(state.range(0));
  std::vector<tracking::Prediction> predictions;
  std::uint32_t noise = 1;
  for (std::uint64_t sample = 0; sample < 12; ++sample) {
    std::vector<std::uint8_t> pixels;
    for (std::uint32_t i = 0; i < side * side; ++i) {
      for (std::uint32_t channel = 0; channel < 3; ++channel) {
        noise = noise * 1664525 + 1013904223;
        pixels.push_back(
            static_cast<std::uint8_t>(i % side + i / side + 40 * channel + (noise >> 28)));
      }
    }
    predictions.push_back({.sample = sample,
                           .said = {.name = "English springer", .probability = 0.75},
                           .next = {.name = "cassette player", .probability = 0.125},
                           .truth = {.name = "English springer", .probability = 0.75},
                           .right = true,
                           .loss = 0.29,
                           .pixels = std::move(pixels)});
  }
  std::size_t bytes = 0;
  for (auto _ : state) {
    bytes = tracking::DrawPredictions("predictions", 1, side, side, predictions).png.size();
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(BM_DrawPredictions)->Arg(64)->Arg(224)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
