// Every operation on pixels, alone, on a picture of 224 x 224 pixels: each with probability 1 where
// it has one, and random strength.
//
//   MILLRACE_TEST_DATA=../shared/data build/release/tests/bench/pixel_ops_bench
//
// items_per_second are pictures. Copying the picture that the operation begins with is in it:
// "copy" is that alone.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "stages/decode.h"
#include "stages/ops/operations.h"
#include "stages/ops/random_resized_crop.h"
#include "stages/resize.h"
#include "tests/support/tar_reader.h"

namespace millrace::stages {
namespace {

constexpr Size kSize{224, 224};
constexpr std::size_t kBytes = std::size_t{224} * 224 * kChannels;
constexpr std::size_t kPictures = 16;

// Random resized crops of originals; empty without the data.
const std::vector<std::vector<std::uint8_t>>& Pictures() {
  static const auto pictures = [] {
    std::vector<std::vector<std::uint8_t>> made;
    const auto archive = testing::TestData("imagenet-originals-200.tar");
    if (archive.empty()) return made;
    Decoder decoder;
    Resizer resizer;
    Image whole;
    for (const auto& member : testing::ReadTar(archive, ".JPEG")) {
      if (made.size() == kPictures) break;
      if (!decoder.DecodeFull(member.bytes, &whole)) continue;
      Geometry geometry;
      geometry.crop = {0, 0, whole.width(), whole.height()};
      geometry.resized = kSize;
      geometry.window = {0, 0, kSize.width, kSize.height};
      made.emplace_back(kBytes);
      resizer.Resize(geometry, whole, made.back().data(), kBytes / 224);
    }
    return made;
  }();
  return pictures;
}

void Run(benchmark::State& state, const PixelOp* op) {
  if (Pictures().empty()) {
    return state.SkipWithError("set MILLRACE_TEST_DATA to the folder with the originals");
  }
  std::vector<std::uint8_t> pixels(kBytes);
  PixelScratch scratch;
  std::uint64_t sample = 0;
  for (auto _ : state) {
    std::memcpy(pixels.data(), Pictures()[sample % Pictures().size()].data(), kBytes);
    if (op != nullptr) {
      op->Apply(RandomStream(RandomKey{.sample_id = sample}, 1), &scratch,
                {.data = pixels.data(), .size = kSize});
    }
    benchmark::DoNotOptimize(pixels.data());
    benchmark::ClobberMemory();
    ++sample;
  }
  state.SetItemsProcessed(state.iterations());
}

// Settings with which an operation always does something.
std::unique_ptr<PixelOp> MakeCertain(const std::string& name) {
  Params params = Params::FromJson("{\"p\": 1.0}", name);
  if (name == "color_jitter") {
    params = Params::FromJson(
        R"({"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1})", name);
  } else if (name == "coarse_dropout") {
    params = Params::FromJson(R"({"p": 1.0, "max_height": 32, "max_width": 32})", name);
  }
  return (*BuiltInOperations().pixels.Find(name))(params, kSize);
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::vector<std::unique_ptr<PixelOp>> ops;
  benchmark::RegisterBenchmark("copy", [](benchmark::State& state) {
    Run(state, nullptr);
  })->Unit(benchmark::kMicrosecond);
  for (const std::string& name : BuiltInOperations().pixels.Names()) {
    const PixelOp* const op = ops.emplace_back(MakeCertain(name)).get();
    benchmark::RegisterBenchmark(name.c_str(), [op](benchmark::State& state) {
      Run(state, op);
    })->Unit(benchmark::kMicrosecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace millrace::stages

int main(int argc, char** argv) { return millrace::stages::Main(argc, argv); }
