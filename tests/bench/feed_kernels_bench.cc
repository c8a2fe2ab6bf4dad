// The kernels of the feed, each alone, and together in a bare loop over the 200 ImageNet originals:
// what the whole feed is compared to.
//
//   MILLRACE_TEST_DATA=../shared/data build/release/tests/bench/feed_kernels_bench
//
// items_per_second are pictures.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "stages/decode.h"
#include "stages/decode_scale.h"
#include "stages/normalize.h"
#include "stages/ops/random_resized_crop.h"
#include "stages/resize.h"
#include "stages/simd.h"
#include "stages/transform.h"
#include "storage/jpeg_repack.h"
#include "tests/support/tar_reader.h"

namespace millrace::stages {
namespace {

constexpr Size kOutput{224, 224};

struct Picture {
  std::vector<std::byte> jpeg;
  std::vector<std::byte> packed;  // with restart markers
  std::vector<std::uint16_t> segment_bytes;
  std::uint32_t segment_mcus;
  Size size;
  Geometry geometry;  // of a random crop to kOutput

  storage::RecordView record() const { return RecordOf(jpeg, {}); }
  storage::RecordView packed_record() const {
    return RecordOf(packed, {.segment_mcus = segment_mcus, .segment_bytes = segment_bytes});
  }

 private:
  storage::RecordView RecordOf(std::span<const std::byte> payload,
                               storage::RegionIndexView index) const {
    return {.width = static_cast<std::uint32_t>(size.width),
            .height = static_cast<std::uint32_t>(size.height),
            .payload = payload,
            .region_index = index};
  }
};

Geometry Crop(Box crop, Size resized) {
  Geometry geometry;
  geometry.crop = crop;
  geometry.resized = resized;
  geometry.window = {0, 0, resized.width, resized.height};
  return geometry;
}

// The originals with a random resized crop each, the same in every run; empty without the data.
const std::vector<Picture>& Originals() {
  static const std::vector<Picture> pictures = [] {
    std::vector<Picture> loaded;
    const auto archive = testing::TestData("imagenet-originals-200.tar");
    if (archive.empty()) return loaded;
    storage::JpegRepacker repacker;
    for (auto& member : testing::ReadTar(archive, ".JPEG")) {
      const auto packed = repacker.Repack(member.bytes, storage::OnDamage::kFault);
      if (!packed.ok()) continue;
      const Size size{static_cast<int>(packed->info.width), static_cast<int>(packed->info.height)};
      const RandomStream random(RandomKey{.sample_id = loaded.size()}, 0);
      const auto& [segment_mcus, segments] = packed->region_index;
      loaded.push_back({.jpeg = std::move(member.bytes),
                        .packed = {packed->payload.begin(), packed->payload.end()},
                        .segment_bytes = {segments.begin(), segments.end()},
                        .segment_mcus = segment_mcus,
                        .size = size,
                        .geometry = Crop(RandomCropBox(size, {}, random), kOutput)});
    }
    return loaded;
  }();
  return pictures;
}

// False, with the benchmark marked, when the pictures are not at hand.
bool HasOriginals(benchmark::State& state) {
  if (!Originals().empty()) return true;
  state.SkipWithError("set MILLRACE_TEST_DATA to the folder with imagenet-originals-200.tar");
  return false;
}

void CountPictures(benchmark::State& state, std::size_t per_iteration) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(per_iteration));
}

void DecodeFull(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  Decoder decoder;
  Image image;
  for (auto _ : state) {
    for (const Picture& picture : Originals()) {
      benchmark::DoNotOptimize(decoder.DecodeFull(picture.jpeg, &image).ok());
    }
  }
  CountPictures(state, Originals().size());
}
BENCHMARK(DecodeFull)->Unit(benchmark::kMillisecond);

// Whole pictures at so many eighths of their size: why stages/decode_scale.h has 1, 2, 4 and 8.
void DecodeScaled(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  const int scale = static_cast<int>(state.range(0));
  Decoder decoder;
  Image image;
  for (auto _ : state) {
    for (const Picture& picture : Originals()) {
      const auto [width, height] = ScaledSize(picture.size, scale);
      benchmark::DoNotOptimize(
          decoder.Decode(picture.record(), {0, 0, width, height}, &image, scale).ok());
    }
  }
  CountPictures(state, Originals().size());
}
BENCHMARK(DecodeScaled)->DenseRange(1, 8)->ArgName("eighths")->Unit(benchmark::kMillisecond);

void DecodeRegions(benchmark::State& state, bool through_index) {
  if (!HasOriginals(state)) return;
  Decoder decoder(DecodeEngine::kLibjpegTurbo);
  Image image;
  for (auto _ : state) {
    for (const Picture& picture : Originals()) {
      const auto record = through_index ? picture.packed_record() : picture.record();
      benchmark::DoNotOptimize(decoder.Decode(record, SourceOf(picture.geometry), &image).ok());
    }
  }
  CountPictures(state, Originals().size());
}
// libjpeg-turbo's own partial decode of the files as they came.
void DecodeCrop(benchmark::State& state) { DecodeRegions(state, false); }
BENCHMARK(DecodeCrop)->Unit(benchmark::kMillisecond);
// Of the re-packed files, only the segments that the crop needs.
void DecodeCropThroughIndex(benchmark::State& state) { DecodeRegions(state, true); }
BENCHMARK(DecodeCropThroughIndex)->Unit(benchmark::kMillisecond);

// The same segments by the region decoder.
void DecodeCropByRegionDecoder(benchmark::State& state, const std::string& target) {
  if (!HasOriginals(state)) return;
  UseSimdTarget(target);
  Decoder decoder(DecodeEngine::kRegion);
  Image image;
  for (auto _ : state) {
    for (const Picture& picture : Originals()) {
      benchmark::DoNotOptimize(
          decoder.Decode(picture.packed_record(), SourceOf(picture.geometry), &image).ok());
    }
  }
  CountPictures(state, Originals().size());
  UseSimdTarget("");
}

// The same where decode.mode = "fast" and the crop is resized to a square of so many pixels.
void DecodeCropFast(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  const int side = static_cast<int>(state.range(0));
  Decoder decoder;
  Image image;
  for (auto _ : state) {
    for (const Picture& picture : Originals()) {
      const storage::RecordView record = picture.packed_record();
      Geometry geometry = Crop(picture.geometry.crop, {side, side});
      geometry.scale = ChooseScale(DecodeMode::kFast, record, geometry);
      benchmark::DoNotOptimize(
          decoder.Decode(record, SourceOf(geometry), &image, geometry.scale).ok());
    }
  }
  CountPictures(state, Originals().size());
}
BENCHMARK(DecodeCropFast)
    ->ArgName("side")
    ->Arg(224)
    ->Arg(128)
    ->Arg(64)
    ->Unit(benchmark::kMillisecond);

// What the recipe's decode mode does to decode and resize of the crop together, to `side` x `side`.
void DecodeAndResize(benchmark::State& state, DecodeMode mode, int side) {
  if (!HasOriginals(state)) return;
  const std::size_t row_bytes = static_cast<std::size_t>(side) * kChannels;
  std::vector<std::uint8_t> out(row_bytes * static_cast<std::size_t>(side));
  Decoder decoder;
  Resizer resizer;
  Image image;
  std::size_t smaller = 0;
  for (auto _ : state) {
    smaller = 0;
    for (const Picture& picture : Originals()) {
      const storage::RecordView record = picture.packed_record();
      Geometry geometry = Crop(picture.geometry.crop, {side, side});
      geometry.scale = ChooseScale(mode, record, geometry);
      if (geometry.scale != kFullScale) {
        ++smaller;
      } else if (RowSink* const rows = resizer.Begin(geometry, out.data(), row_bytes);
                 rows != nullptr && decoder.DecodeRows(record, SourceOf(geometry), rows)) {
        continue;
      }
      benchmark::DoNotOptimize(
          decoder.Decode(record, SourceOf(geometry), &image, geometry.scale).ok());
      resizer.Resize(geometry, image, out.data(), row_bytes);
    }
  }
  CountPictures(state, Originals().size());
  state.counters["decoded_smaller"] =
      static_cast<double>(smaller) / static_cast<double>(Originals().size());
}

// The pixels that a list of operations makes, without decode, of a tenth of the originals: so few
// that they are in the cache, as what was just decoded is.
void Augment(benchmark::State& state, const std::string& ops) {
  if (!HasOriginals(state)) return;
  const Transform transform(
      Params::FromJson("{\"ops\": [" + ops + "]}", "benchmark").Sections("ops"),
      BuiltInOperations());
  const Size size = transform.output_size();
  std::vector<std::uint8_t> out(static_cast<std::size_t>(size.width) * kChannels *
                                static_cast<std::size_t>(size.height));
  Decoder decoder;
  Resizer resizer;
  struct Work {
    Geometry geometry;
    Image source;
  };
  std::vector<Work> works;
  for (std::size_t i = 0; i < Originals().size(); i += 10) {
    const Picture& picture = Originals()[i];
    const auto geometry = transform.Plan(picture.size, RandomKey{.sample_id = i});
    if (!geometry) continue;  // smaller than its center crop
    works.push_back({.geometry = *geometry, .source = {}});
    if (!decoder.Decode(picture.packed_record(), SourceOf(*geometry), &works.back().source)) {
      return state.SkipWithError("a picture does not decode");
    }
  }
  for (auto _ : state) {
    for (const Work& work : works)
      transform.Apply(work.geometry, work.source, &resizer, out.data());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  CountPictures(state, works.size());
}

// Decode of the crop and its resize into finished uint8 pictures, on every thread for itself.
void BareLoop(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  const std::size_t threads = static_cast<std::size_t>(state.threads());
  const std::size_t first = static_cast<std::size_t>(state.thread_index());
  const std::size_t row_bytes = std::size_t{kOutput.width} * kChannels;
  std::vector<std::uint8_t> out(row_bytes * kOutput.height);
  Decoder decoder;
  Resizer resizer;
  Image image;
  std::size_t done = 0;
  for (auto _ : state) {
    for (std::size_t i = first; i < Originals().size(); i += threads) {
      const Picture& picture = Originals()[i];
      benchmark::DoNotOptimize(
          decoder.Decode(picture.record(), SourceOf(picture.geometry), &image).ok());
      resizer.Resize(picture.geometry, image, out.data(), row_bytes);
      ++done;
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(done));
}
BENCHMARK(BareLoop)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->ThreadRange(1, static_cast<int>(std::thread::hardware_concurrency()));

void Resize(benchmark::State& state, const std::string& target, Kernels kernels, ResizeMode mode,
            Size from, Size to) {
  UseSimdTarget(target);
  Geometry geometry = Crop({0, 0, from.width, from.height}, to);
  geometry.mode = mode;
  Image source;
  source.Resize(from.width, from.height);
  RandomStream random(RandomKey{}, 0);
  std::generate_n(source.row(0), source.row_bytes() * static_cast<std::size_t>(from.height),
                  [&] { return static_cast<std::uint8_t>(random.Next()); });
  const std::size_t row_bytes = static_cast<std::size_t>(to.width) * kChannels;
  std::vector<std::uint8_t> out(row_bytes * static_cast<std::size_t>(to.height));
  Resizer resizer(kernels);
  // Another geometry in between, so that coefficients are made anew as for every random crop.
  Geometry other = geometry;
  other.window.width = 1;
  other.window.height = 1;
  Image corner;
  corner.Resize(SourceOf(other).width, SourceOf(other).height);
  std::vector<std::uint8_t> one(kChannels);
  for (auto _ : state) {
    resizer.Resize(other, corner, one.data(), kChannels);
    resizer.Resize(geometry, source, out.data(), row_bytes);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  CountPictures(state, 1);
  UseSimdTarget("");
}

void NormalizeOutput(benchmark::State& state, const std::string& target, Layout layout) {
  UseSimdTarget(target);
  constexpr std::size_t kPixels = std::size_t{kOutput.width} * kOutput.height;
  constexpr std::size_t kPictures = 64;  // of a batch, which no cache keeps
  constexpr std::size_t kValues = kPixels * kChannels;
  const std::vector<std::uint8_t> in(kValues, 77);
  const auto out = hwy::AllocateAligned<float>(kPictures * kValues);
  std::fill_n(out.get(), kPictures * kValues, 0.0f);
  std::size_t picture = 0;
  const ChannelStatistics statistics{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  for (auto _ : state) {
    Normalize(Kernels::kSimd, in.data(), kPixels, statistics, layout,
              out.get() + picture++ % kPictures * kValues);
    benchmark::DoNotOptimize(out.get());
    benchmark::ClobberMemory();
  }
  CountPictures(state, 1);
  UseSimdTarget("");
}

void RegisterFeed() {
  for (const int side : {224, 160, 128, 64}) {
    for (const auto& [name, mode] :
         {std::pair("exact", DecodeMode::kExact), std::pair("fast", DecodeMode::kFast)}) {
      benchmark::RegisterBenchmark(
          fmt::format("DecodeAndResize/{}x{}/{}", side, side, name).c_str(), &DecodeAndResize, mode,
          side)
          ->Unit(benchmark::kMillisecond);
    }
  }
  const std::string crop = R"({"op": "random_resized_crop", "size": 224})";
  const std::string resize = R"({"op": "resize", "size": 256}, {"op": "center_crop", "size": 224})";
  for (const auto& [name, ops] :
       {std::pair<std::string, std::string>("random_resized_crop", crop),
        {"random_resized_crop+horizontal_flip", crop + R"(, {"op": "horizontal_flip", "p": 1})"},
        {"random_resized_crop+vertical_flip", crop + R"(, {"op": "vertical_flip", "p": 1})"},
        {"resize+center_crop", resize},
        {"center_crop", R"({"op": "center_crop", "size": 224})"}}) {
    benchmark::RegisterBenchmark(("Augment/" + name).c_str(), &Augment, ops)
        ->Unit(benchmark::kMillisecond);
  }
}

void RegisterTargets() {
  for (const std::string& target : SimdTargets()) {
    benchmark::RegisterBenchmark(
        ("DecodeCropByRegionDecoder/" + target).c_str(),
        [target](benchmark::State& state) { DecodeCropByRegionDecoder(state, target); })
        ->Unit(benchmark::kMillisecond);
  }
  struct Case {
    const char* name;
    Size from;
    Size to;
  };
  for (const Case& c : {Case{"500x375_to_224x224", {500, 375}, {224, 224}},
                        Case{"400x400_to_224x224", {400, 400}, {224, 224}},
                        Case{"300x400_to_224x224", {300, 400}, {224, 224}},
                        Case{"150x150_to_224x224", {150, 150}, {224, 224}},
                        Case{"180x180_to_64x64", {180, 180}, {64, 64}}}) {
    const auto add = [&](const std::string& name, const std::string& target, Kernels kernels) {
      for (const auto& [mode_name, mode] :
           {std::pair("pillow", ResizeMode::kPillow), std::pair("opencv", ResizeMode::kOpenCv)}) {
        benchmark::RegisterBenchmark(
            (std::string("Resize/") + mode_name + "/" + c.name + "/" + name).c_str(), &Resize,
            target, kernels, mode, c.from, c.to)
            ->Unit(benchmark::kMicrosecond);
      }
    };
    for (const std::string& target : SimdTargets()) {
      if (target != "SCALAR") add(target, target, Kernels::kSimd);
    }
    add("scalar", "", Kernels::kScalar);
  }
  for (const std::string& target : SimdTargets()) {
    benchmark::RegisterBenchmark(("NormalizeToPlanes/224x224/" + target).c_str(), &NormalizeOutput,
                                 target, Layout::kNchw);
    benchmark::RegisterBenchmark(("Normalize/224x224/" + target).c_str(), &NormalizeOutput, target,
                                 Layout::kNhwc)
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace millrace::stages

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  millrace::stages::RegisterFeed();
  millrace::stages::RegisterTargets();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
