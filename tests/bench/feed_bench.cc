// The whole feed, from records to finished uint8 batches through the graph, beside a plain loop
// over the same work without a graph, beside a bare loop over the same crop decodes and resizes,
// and beside the reading of records alone.
//
//   MILLRACE_TEST_DATA=../shared/data build/release/tests/bench/feed_bench
//       --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
//
// items_per_second are pictures.
#include <benchmark/benchmark.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/convert.h"
#include "pipeline/graph.h"
#include "pipeline/loader_stages.h"
#include "pipeline/recipe.h"
#include "stages/decode.h"
#include "stages/resize.h"
#include "stages/transform.h"
#include "tests/support/tar_reader.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

constexpr std::uint32_t kBatch = 50;
constexpr std::uint64_t kEpochs = 10;  // passes over the originals in one iteration

constexpr const char* kRecipe = R"(
seed = 1
[data.train]
ops = [ { op = "random_resized_crop", size = 224, scale = [0.08, 1.0] }, { op = "horizontal_flip" } ]
[batch]
per_device = 50
[train]
epochs = 1
)";

// The 200 originals as a converted dataset, made once per process.
class Originals {
 public:
  Originals() {
    const auto archive = testing::TestData("imagenet-originals-200.tar");
    if (archive.empty()) return;
    for (const auto& member : testing::ReadTar(archive, ".JPEG")) {
      const auto file = folder_.path() / "images" / member.name;
      std::filesystem::create_directories(file.parent_path());
      std::ofstream(file, std::ios::binary)
          .write(reinterpret_cast<const char*>(member.bytes.data()),
                 static_cast<std::streamsize>(member.bytes.size()));
    }
    pipeline::Convert(
        {.sources = {folder_.path() / "images" / "train"}, .to = folder_.path() / "records"});
    std::ofstream(folder_.path() / "recipe.toml") << kRecipe;
    recipe_ = pipeline::Recipe::Load(folder_.path() / "recipe.toml", {});
    stages_ = std::make_unique<pipeline::LoaderStages>(recipe_, folder_.path() / "records");
    stages_for_gpu_ = std::make_unique<pipeline::LoaderStages>(
        pipeline::Recipe::Load(folder_.path() / "recipe.toml", {"decode.device=gpu"}),
        folder_.path() / "records");
  }

  bool there() const { return stages_ != nullptr; }
  const pipeline::Recipe& recipe() const { return recipe_; }
  pipeline::LoaderStages& stages() { return *stages_; }
  // Which leave decode and augmentation to the device.
  pipeline::LoaderStages& stages_for_gpu() { return *stages_for_gpu_; }

 private:
  test::TemporaryFolder folder_;
  pipeline::Recipe recipe_;
  std::unique_ptr<pipeline::LoaderStages> stages_;
  std::unique_ptr<pipeline::LoaderStages> stages_for_gpu_;
};

Originals& Data() {
  static Originals originals;
  return originals;
}

bool HasOriginals(benchmark::State& state) {
  if (Data().there()) return true;
  state.SkipWithError("set MILLRACE_TEST_DATA to the folder with imagenet-originals-200.tar");
  return false;
}

class NullLane final : public pipeline::LaneWork {
 public:
  void Copy(stages::Slot&) override {}
  void TrainStep(const stages::Slot& slot) override { samples += slot.batch().size; }
  std::int64_t samples = 0;
};

constexpr std::uint32_t kSlots = 4;
constexpr std::size_t kImageBytes = std::size_t{224} * 224 * 3;

std::uint64_t BatchesPerEpoch() { return Data().stages().train().size() / kBatch; }

// Batch number `next` of one iteration.
std::optional<stages::Batch> BatchAt(std::uint64_t next) {
  if (next >= BatchesPerEpoch() * kEpochs) return std::nullopt;
  return stages::Batch{.sequence = next,
                       .epoch = static_cast<std::uint32_t>(next / BatchesPerEpoch()),
                       .step = next,
                       .first_position = next % BatchesPerEpoch() * kBatch,
                       .size = kBatch};
}

void Feed(benchmark::State& state, pipeline::LoaderStages& stages, bool traced) {
  std::int64_t done = 0;
  for (auto _ : state) {
    std::uint64_t next = 0;
    NullLane lane;
    pipeline::Stop stop;
    pipeline::StageStats stats;
    pipeline::StageTrace trace;
    pipeline::RunGraph(
        {.workers = static_cast<int>(state.range(0)),
         .num_slots = kSlots,
         .max_batch = kBatch,
         .max_image_bytes = kImageBytes,
         .trace = traced ? &trace : nullptr},
        [&] { return BatchAt(next++); }, stages, {&lane}, stop, stats);
    done += lane.samples;
  }
  state.SetItemsProcessed(done);
}

void WholeFeed(benchmark::State& state) {
  if (HasOriginals(state)) Feed(state, Data().stages(), /*traced=*/false);
}

// The same with every call kept, as `millrace profile` runs it.
void TracedFeed(benchmark::State& state) {
  if (HasOriginals(state)) Feed(state, Data().stages(), /*traced=*/true);
}

// The host's part where a GPU decodes: as far as the memory that it copies from.
void FeedForGpu(benchmark::State& state) {
  if (HasOriginals(state)) Feed(state, Data().stages_for_gpu(), /*traced=*/false);
}

// Deals samples one by one into slots that come round, as the graph's plan does.
class PlainPlan {
 public:
  PlainPlan() {
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      slots_.push_back(std::make_unique<stages::Slot>(i, kBatch, kImageBytes));
    }
  }

  std::optional<stages::Sample> Next() {
    std::unique_lock lock(mutex_);
    const auto number = [this] { return next_ / kBatch; };
    freed_.wait(lock, [&] { return number() < given_back_ + kSlots; });
    const auto batch = BatchAt(number());
    if (!batch) return std::nullopt;
    stages::Slot& slot = *slots_[batch->sequence % kSlots];
    const auto index = static_cast<std::uint32_t>(next_++ % kBatch);
    if (index == 0) slot.Begin(*batch, Data().stages().PictureSize(batch->phase));
    const RandomKey key = Data().stages().KeyAt(*batch, batch->first_position + index);
    slot.sample(index).sample_id = key.sample_id;
    return stages::Sample{.slot = &slot, .index = index, .key = key};
  }

  void GiveBack(const stages::Slot& slot) {
    const std::lock_guard lock(mutex_);
    finished_.insert(slot.batch().sequence);
    while (finished_.erase(given_back_) > 0) ++given_back_;
    freed_.notify_all();
  }

 private:
  std::vector<std::unique_ptr<stages::Slot>> slots_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::uint64_t next_ = 0;            // sample; guarded by mutex_, as what follows
  std::set<std::uint64_t> finished_;  // batches behind one that is not
  std::uint64_t given_back_ = 0;      // batches
};

// `work` on so many threads of their own.
void RunOnThreads(std::int64_t threads, const std::function<void()>& work) {
  std::vector<std::thread> all;
  for (std::int64_t i = 0; i < threads; ++i) all.emplace_back(work);
  for (std::thread& thread : all) thread.join();
}

// The very work of WholeFeed on each sample, without a graph: what it is slower by is what the
// graph costs.
void PlainLoop(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  std::atomic<std::int64_t> done{0};
  for (auto _ : state) {
    PlainPlan plan;
    RunOnThreads(state.range(0), [&] {
      while (const auto sample = plan.Next()) {
        Data().stages().Read(*sample);
        Data().stages().Decode(*sample);
        Data().stages().Augment(*sample);
        if (!sample->slot->FinishSample()) continue;
        done += kBatch;
        plan.GiveBack(*sample->slot);
      }
    });
  }
  state.SetItemsProcessed(done);
}

// Decode and resize of the same crops, nothing else: no check of the record, no batch order, no
// digest.
void BareLoop(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  const stages::Transform transform(Data().recipe().train.ops, stages::BuiltInOperations());
  const storage::SplitReader& reader = Data().stages().train();
  std::vector<storage::RecordView> records;
  for (std::uint64_t id = 0; id < reader.size(); ++id) records.push_back(*reader.Read(id));
  std::int64_t done = 0;
  for (auto _ : state) {
    std::atomic<std::uint64_t> next{0};
    RunOnThreads(state.range(0), [&] {
      stages::Decoder decoder;
      stages::Resizer resizer;
      stages::Image image;
      std::vector<std::uint8_t> out(kImageBytes);
      for (;;) {
        const std::uint64_t i = next.fetch_add(1);
        if (i >= records.size() * kEpochs) return;
        const std::uint64_t id = i % records.size();
        const storage::RecordView& record = records[id];
        const stages::Size size{static_cast<int>(record.width), static_cast<int>(record.height)};
        const auto geometry = *transform.Plan(
            size,
            {.seed = 1, .epoch = static_cast<std::uint32_t>(i / records.size()), .sample_id = id});
        stages::RowSink* const rows = transform.Begin(geometry, &resizer, out.data());
        if (rows != nullptr && decoder.DecodeRows(record, stages::SourceOf(geometry), rows))
          continue;
        benchmark::DoNotOptimize(decoder.Decode(record, stages::SourceOf(geometry), &image).ok());
        transform.Apply(geometry, image, &resizer, out.data());
      }
    });
    done += static_cast<std::int64_t>(records.size() * kEpochs);
  }
  state.SetItemsProcessed(done);
}

// Records found, checked against their hashes and handed out, in the order of an epoch.
void ReadRecords(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  const storage::SplitReader& reader = Data().stages().train();
  const pipeline::SampleOrder order(reader.size(), pipeline::Shuffle::kFull, 1, 0);
  std::int64_t done = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    for (std::uint64_t position = 0; position < reader.size(); ++position) {
      const auto record = reader.Read(order.At(position));
      bytes += static_cast<std::int64_t>(record->payload.size());
      ++done;
    }
  }
  state.SetItemsProcessed(done);
  state.SetBytesProcessed(bytes);
}

int Cores() { return static_cast<int>(std::thread::hardware_concurrency()); }

void WithThreads(benchmark::internal::Benchmark* feed) {
  feed->ArgName("threads")
      ->RangeMultiplier(2)
      ->Range(1, Cores())
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime()
      ->MeasureProcessCPUTime()  // of all threads, also beside other programs
      ->Iterations(1);
}
BENCHMARK(WholeFeed)->Apply(WithThreads);
BENCHMARK(TracedFeed)->Apply(WithThreads);
BENCHMARK(FeedForGpu)->Apply(WithThreads);
BENCHMARK(PlainLoop)->Apply(WithThreads);
BENCHMARK(BareLoop)->Apply(WithThreads);
BENCHMARK(ReadRecords)->Unit(benchmark::kMillisecond)->UseRealTime()->ThreadRange(1, Cores());

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
