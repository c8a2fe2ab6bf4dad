// The decoder on the device: what the host does for it, and batches of random crops of the 200
// ImageNet originals to 224 x 224.
//
//   MILLRACE_TEST_DATA=../shared/data build/cuda/tests/bench/gpu_decode_bench
//
// items_per_second are pictures.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/params.h"
#include "base/random.h"
#include "stages/gpu/device_decoder.h"
#include "stages/gpu/device_normalize.h"
#include "stages/gpu/memory.h"
#include "stages/gpu/picture_plan.h"
#include "stages/transform.h"
#include "storage/jpeg_repack.h"
#include "tests/support/tar_reader.h"

namespace millrace::stages::gpu {
namespace {

constexpr Size kFinished{224, 224};
constexpr std::size_t kImageBytes = std::size_t{224} * 224 * kChannels;

struct Original {
  std::vector<std::byte> packed;  // with restart markers
  std::vector<std::uint16_t> segment_bytes;
  std::uint32_t segment_mcus;
  Size size;

  storage::RecordView record() const {
    return {.width = static_cast<std::uint32_t>(size.width),
            .height = static_cast<std::uint32_t>(size.height),
            .payload = packed,
            .region_index = {.segment_mcus = segment_mcus, .segment_bytes = segment_bytes}};
  }
};

const std::vector<Original>& Originals() {
  static const std::vector<Original> pictures = [] {
    std::vector<Original> loaded;
    const auto archive = testing::TestData("imagenet-originals-200.tar");
    if (archive.empty()) return loaded;
    storage::JpegRepacker repacker;
    for (const auto& member : testing::ReadTar(archive, ".JPEG")) {
      const auto packed = repacker.Repack(member.bytes, storage::OnDamage::kFault);
      if (!packed.ok()) continue;
      const auto& [segment_mcus, segments] = packed->region_index;
      loaded.push_back(
          {.packed = {packed->payload.begin(), packed->payload.end()},
           .segment_bytes = {segments.begin(), segments.end()},
           .segment_mcus = segment_mcus,
           .size = {static_cast<int>(packed->info.width), static_cast<int>(packed->info.height)}});
    }
    return loaded;
  }();
  return pictures;
}

// False, with the benchmark marked, when the pictures or a device are not at hand.
bool HasOriginals(benchmark::State& state) {
  if (!Originals().empty()) return true;
  state.SkipWithError("set MILLRACE_TEST_DATA to the folder with imagenet-originals-200.tar");
  return false;
}
bool HasDevice(benchmark::State& state) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0) return true;
  state.SkipWithError("no GPU here");
  return false;
}

// The crop of sample `id`.
Geometry CropOf(const Original& original, std::uint64_t id) {
  static const Transform transform(
      Params::FromJson(R"({"ops": [{"op": "random_resized_crop", "size": 224},
                                   {"op": "horizontal_flip"}]})",
                       "benchmark")
          .Sections("ops"),
      BuiltInOperations());
  const auto geometry = transform.Plan(original.size, RandomKey{.sample_id = id});
  return *geometry;
}

// Planning on one core, into the room that a finished picture has.
void HostPlan(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  std::vector<Geometry> crops;
  for (const Original& original : Originals()) crops.push_back(CropOf(original, crops.size()));
  std::vector<std::byte> room(kImageBytes);
  std::size_t bytes = 0;
  std::size_t planned = 0;
  for (auto _ : state) {
    bytes = 0;
    planned = 0;
    for (std::size_t i = 0; i < crops.size(); ++i) {
      const auto plan = PlanPicture(Originals()[i].record(), crops[i], room);
      if (!plan) continue;
      ++planned;
      bytes += plan->bytes;
      benchmark::DoNotOptimize(room.data());
      benchmark::ClobberMemory();
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(crops.size()));
  state.counters["bytes_per_picture"] = static_cast<double>(bytes) / static_cast<double>(planned);
  state.counters["share_for_the_device"] =
      static_cast<double>(planned) / static_cast<double>(crops.size());
}
BENCHMARK(HostPlan)->Unit(benchmark::kMillisecond);

// A batch as the host hands it over, on a stream of its own. What is not for the device is left out
// and the next sample taken.
class Batch {
 public:
  explicit Batch(std::size_t size) {
    RequireCuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
    decoder_ = std::make_unique<DeviceDecoder>(stream_);
    out_ = std::make_unique<DeviceMemory>(stream_);
    out_->Reserve(size * kImageBytes);
    results_.Reserve(size * sizeof(PictureResult));
    bytes_.Reserve(size * kImageBytes);
    for (std::uint64_t id = 0; pictures_.size() < size; ++id) {
      const Original& original = Originals()[id % Originals().size()];
      auto plan = PlanPicture(original.record(), CropOf(original, id),
                              {bytes_.data() + used_, kImageBytes});
      if (!plan) continue;
      plan->picture.bytes = used_;
      plan->picture.output = static_cast<u32>(pictures_.size());
      pictures_.push_back(plan->picture);
      used_ += (plan->bytes + kBytesAlignment - 1) / kBytesAlignment * kBytesAlignment;
    }
  }
  ~Batch() {
    out_.reset();
    decoder_.reset();
    cudaStreamDestroy(stream_);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void Decode() {
    decoder_->Decode({.pictures = pictures_,
                      .bytes = {bytes_.data(), used_},
                      .finished = kFinished,
                      .out = out_->as<std::uint8_t>(),
                      .results = reinterpret_cast<PictureResult*>(results_.data())});
  }
  void Wait() const { RequireCuda(cudaStreamSynchronize(stream_), "the kernels"); }

  cudaStream_t stream() const { return stream_; }
  DeviceDecoder& decoder() { return *decoder_; }
  std::size_t size() const { return pictures_.size(); }
  std::size_t used() const { return used_; }
  const std::uint8_t* out() const { return out_->as<std::uint8_t>(); }
  std::size_t damaged() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      PictureResult result;
      std::memcpy(&result, results_.data() + i * sizeof result, sizeof result);
      count += result.is_damaged != 0;
    }
    return count;
  }

 private:
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<DeviceDecoder> decoder_;
  std::unique_ptr<DeviceMemory> out_;
  PinnedMemory results_;
  PinnedMemory bytes_;
  std::size_t used_ = 0;
  std::vector<Picture> pictures_;
};

// Batches behind one another, copies included, on a stream a decoder: pictures a second of the
// device. With two of them one batch is copied, and its longest segments decoded, beside the other.
void DecodeBatches(benchmark::State& state) {
  if (!HasDevice(state) || !HasOriginals(state)) return;
  constexpr int kRounds = 16;
  std::vector<std::unique_ptr<Batch>> batches;
  for (std::int64_t i = 0; i < state.range(1); ++i) {
    batches.push_back(std::make_unique<Batch>(static_cast<std::size_t>(state.range(0))));
    batches.back()->Decode();
    batches.back()->Wait();
    if (batches.back()->damaged() > 0) return state.SkipWithError("a picture is damaged");
  }
  for (auto _ : state) {
    for (int i = 0; i < kRounds; ++i) {
      for (const auto& batch : batches) batch->Decode();
    }
    for (const auto& batch : batches) batch->Wait();
  }
  state.SetItemsProcessed(state.iterations() * kRounds * state.range(0) * state.range(1));
  state.counters["MB_per_batch"] = static_cast<double>(batches.front()->used()) / 1e6;
}
BENCHMARK(DecodeBatches)
    ->ArgNames({"pictures", "decoders"})
    ->ArgsProduct({{64, 256, 1024}, {1, 2}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// How long the host takes to enqueue a batch.
void Enqueue(benchmark::State& state) {
  if (!HasDevice(state) || !HasOriginals(state)) return;
  Batch batch(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    batch.Decode();
    state.PauseTiming();
    batch.Wait();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.size()));
}
BENCHMARK(Enqueue)->ArgName("pictures")->Arg(256)->Unit(benchmark::kMicrosecond)->UseRealTime();

// What each step of a batch takes on the device [us], as counters.
void Steps(benchmark::State& state) {
  if (!HasDevice(state) || !HasOriginals(state)) return;
  Batch batch(static_cast<std::size_t>(state.range(0)));
  std::vector<std::pair<std::string, cudaEvent_t>> steps;
  std::size_t at = 0;
  const auto mark = [&](const char* step) {
    if (at == steps.size()) {
      steps.emplace_back(step, nullptr);
      RequireCuda(cudaEventCreate(&steps.back().second), "an event");
    }
    RequireCuda(cudaEventRecord(steps[at++].second, batch.stream()), "an event");
  };
  batch.decoder().Observe(mark);
  std::map<std::string, double> sums;
  for (auto _ : state) {
    at = 0;
    mark("Begin");
    batch.Decode();
    batch.Wait();
    for (std::size_t i = 1; i < at; ++i) {
      float ms = 0;
      RequireCuda(cudaEventElapsedTime(&ms, steps[i - 1].second, steps[i].second), "an event");
      sums[steps[i].first] += 1e3 * static_cast<double>(ms);
    }
  }
  for (const auto& [name, sum] : sums) {
    state.counters[name + "_us"] = sum / static_cast<double>(state.iterations());
  }
  for (const auto& step : steps) cudaEventDestroy(step.second);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.size()));
}
BENCHMARK(Steps)
    ->ArgName("pictures")
    ->Arg(64)
    ->Arg(256)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void NormalizeBatch(benchmark::State& state, Output output) {
  if (!HasDevice(state) || !HasOriginals(state)) return;
  constexpr int kTimes = 16;
  Batch batch(256);
  const DeviceNormalize normalize({{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}});
  DeviceMemory out(batch.stream());
  out.Reserve(batch.size() * kImageBytes * sizeof(float));
  for (auto _ : state) {
    for (int i = 0; i < kTimes; ++i) {
      normalize(batch.out(), batch.size(), kImageBytes / kChannels, Layout::kNhwc, output,
                out.as<void>(), batch.stream());
    }
    batch.Wait();
  }
  state.SetItemsProcessed(state.iterations() * kTimes * static_cast<std::int64_t>(batch.size()));
}
BENCHMARK_CAPTURE(NormalizeBatch, float32, Output::kFloat32)->UseRealTime();
BENCHMARK_CAPTURE(NormalizeBatch, bfloat16, Output::kBfloat16)->UseRealTime();
BENCHMARK_CAPTURE(NormalizeBatch, float16, Output::kFloat16)->UseRealTime();

}  // namespace
}  // namespace millrace::stages::gpu

BENCHMARK_MAIN();
