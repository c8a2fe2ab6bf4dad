#include "pipeline/loader_stages.h"

#include <oneapi/tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "pipeline/runs_ahead.h"
#include "stages/decode.h"
#include "stages/decode_scale.h"
#include "stages/gpu/picture_plan.h"
#include "stages/resize.h"
#include "stages/transform.h"

namespace millrace::pipeline {
namespace {

using stages::Batch;
using stages::Phase;
using stages::Sample;

// The split that the loader reads, which the dataset must have.
const std::string& RequireSplit(const LoaderRecipe& recipe, const std::filesystem::path& dataset) {
  const storage::Manifest manifest = storage::ReadManifest(dataset);
  if (!manifest.splits.contains(recipe.split)) {
    std::string known;
    for (const auto& [name, split] : manifest.splits) {
      known += (known.empty() ? "" : ", ") + name;
    }
    recipe.section.Blame("split",
                         fmt::format("is \"{}\", which {} does not have (it has: {})", recipe.split,
                                     dataset.string(), known.empty() ? "none" : known));
  }
  return recipe.split;
}

// What makes the loader's pictures of each size, by growing size. Checks that they can grow as the
// recipe says.
std::vector<stages::Transform> MakeTransforms(const LoaderRecipe& recipe,
                                              const stages::Operations& known) {
  std::vector<stages::Transform> transforms;
  stages::Transform largest(recipe.ops, known);
  if (recipe.progressive) {
    const Progressive& sizes = *recipe.progressive;
    CheckProgressive(sizes, largest.output_size());
    const int most = largest.output_size().width;
    for (int side = sizes.from; side < most; side += sizes.step) {
      transforms.emplace_back(recipe.ops, known, stages::Scaling{.to = side, .of = most});
    }
  }
  transforms.push_back(std::move(largest));
  return transforms;
}

struct Loader {
  Loader(const LoaderRecipe& recipe, const stages::Operations& known,
         const storage::SplitReader& split, std::uint64_t seed)
      : reader(split),
        transforms(MakeTransforms(recipe, known)),
        progressive(recipe.progressive),
        shuffle(recipe.shuffle),
        repeats(recipe.repeats),
        num_samples(recipe.limit == 0 ? reader.size() : std::min(recipe.limit, reader.size())),
        choice(reader.size(), Shuffle::kFull, seed, kEpochOfChoice) {}

  // The id of one of its samples, which are counted from 0.
  std::uint64_t IdOf(std::uint64_t sample) const {
    return num_samples == reader.size() ? sample : choice.At(sample);
  }

  CopiedPosition CopyAt(const Batch& batch, std::uint64_t position) const {
    return pipeline::CopyAt(position, batch.global_batch, repeats);
  }

  // What makes the pictures of an epoch.
  const stages::Transform& TransformIn(std::uint32_t epoch) const {
    if (!progressive) return largest();
    const int side = SideInEpoch(*progressive, largest().output_size().width, epoch);
    return transforms[static_cast<std::size_t>((side - progressive->from) / progressive->step)];
  }
  const stages::Transform& largest() const { return transforms.back(); }

  // Which samples are there is chosen as the order of an epoch is, of one that no run comes to.
  static constexpr std::uint32_t kEpochOfChoice = std::numeric_limits<std::uint32_t>::max();

  const storage::SplitReader& reader;
  std::vector<stages::Transform> transforms;  // MakeTransforms()
  std::optional<Progressive> progressive;
  Shuffle shuffle;
  std::uint32_t repeats;
  std::uint64_t num_samples;
  SampleOrder choice;
};

// Training samples that are evaluated draw as in epochs that no training comes to, 2^31 and up, so
// that they share no draws with it: the first one is that of an evaluation before all steps, then
// comes one for each epoch. Validation samples draw the same every time.
std::uint32_t EpochOfDraws(const Batch& batch) {
  constexpr std::uint32_t kFirstOfTrainEval = std::uint32_t{1} << 31;
  if (batch.phase == Phase::kEvaluate) return 0;
  if (batch.phase == Phase::kTrain) return batch.epoch;
  return kFirstOfTrainEval + (batch.step == 0 ? 0 : batch.epoch + 1);
}

// The order of the epoch that is being planned, and of the one after it, whose first samples are
// read ahead.
struct EpochOrder {
  std::uint32_t epoch;
  SampleOrder current;
  SampleOrder next;
};

// What a crop may have to be brought to the device. [bytes]
constexpr std::size_t kMostCargo = std::size_t{1} << 20;

// What a worker keeps from sample to sample.
struct WorkerTools {
  explicit WorkerTools(stages::DecodeEngine engine) : decoder(engine) {}

  stages::Decoder decoder;
  stages::Resizer resizer;
  stages::PixelScratch scratch;
  std::vector<std::byte> cargo;  // of one sample, until its size is known
  std::uint64_t for_gpu = 0;     // samples whose cargo is segments
};

// A read that took longer waited for the disk: the rest, hashing at a gigabyte a second and more,
// is far shorter.
std::int64_t LongestReadInMemoryNs(std::size_t payload_bytes) {
  return 200'000 + static_cast<std::int64_t>(payload_bytes);
}

// Pictures between decode and augment. As many as are in that state at the same time, reused.
class ImagePool {
 public:
  std::unique_ptr<stages::Image> Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<stages::Image>();
    std::unique_ptr<stages::Image> image = std::move(free_.back());
    free_.pop_back();
    return image;
  }
  void Return(std::unique_ptr<stages::Image> image) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(image));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<stages::Image>> free_;  // guarded by mutex_
};

}  // namespace

struct LoaderStages::Impl {
  Impl(const Recipe& recipe, const std::filesystem::path& dataset,
       std::initializer_list<Phase> phases)
      : seed(recipe.seed),
        decode_mode(recipe.decode_mode),
        decode_device(recipe.decode_device),
        tools(recipe.decode_engine) {
    CheckLoaders(recipe);
    for (const Phase phase : phases) {
      if (const LoaderRecipe* of = recipe.LoaderOf(phase)) {
        loaders[static_cast<std::size_t>(phase)].emplace(*of, recipe.known->operations,
                                                         Open(*of, dataset), seed);
      }
    }
  }

  const storage::SplitReader& Open(const LoaderRecipe& recipe,
                                   const std::filesystem::path& dataset) {
    const std::string& name = RequireSplit(recipe, dataset);
    for (const OpenSplit& split : splits) {
      if (split.name == name) return split.reader;
    }
    splits.push_back({.name = name, .reader = storage::SplitReader(dataset, name)});
    return splits.back().reader;
  }

  // nullptr: there is no sample of this phase.
  const Loader* Find(Phase phase) const {
    const std::optional<Loader>& loader = loaders[static_cast<std::size_t>(phase)];
    return loader ? &*loader : nullptr;
  }
  const Loader& Of(Phase phase) const {
    const Loader* const loader = Find(phase);
    MILLRACE_CHECK(loader != nullptr);
    return *loader;
  }

  RandomKey KeyOf(const Batch& batch, std::uint64_t sample_id) const {
    return {.seed = seed, .epoch = EpochOfDraws(batch), .sample_id = sample_id};
  }

  const stages::Transform& TransformOf(const Batch& batch) {
    return Of(batch.phase).TransformIn(batch.epoch);
  }

  [[noreturn]] void Blame(Phase phase, std::uint64_t sample_id, const std::string& problem) {
    Fail("sample {} ({}): {}; run `millrace verify` on the dataset", sample_id,
         Of(phase).reader.Where(sample_id), problem);
  }

  const EpochOrder& OrderOf(std::uint32_t epoch, std::optional<EpochOrder>& kept) {
    if (!kept || kept->epoch != epoch) {
      const Loader& loader = Of(Phase::kTrain);
      const auto order_of = [&](std::uint32_t of) {
        return SampleOrder(loader.num_samples, loader.shuffle, seed, of);
      };
      kept.emplace(
          EpochOrder{.epoch = epoch, .current = order_of(epoch), .next = order_of(epoch + 1)});
    }
    return *kept;
  }

  // Asks the disk for what comes with this position.
  void ReadAhead(const EpochOrder& order, std::uint64_t position) {
    if (!runs) {
      for (const SampleRun& run : order.current.ReadAhead(position, order.next)) {
        Of(Phase::kTrain).reader.Prefetch(run.first, run.count);
      }
      return;
    }
    const std::pair window(order.epoch, order.current.WindowOf(position));
    if (window != planned_window) {
      planned_window = window;
      asked_for = order.current.WindowBegin(window.second);
      runs->NextWindow();
      for (const SampleRun& block : order.current.WindowBlocks(window.second)) {
        runs->AskForPlanned(block);
      }
    }
    // A resumed run begins in the middle of a window.
    for (; asked_for <= position; ++asked_for) {
      for (const SampleRun& block : order.current.ReadAhead(asked_for, order.next)) {
        runs->AskForNext(block);
      }
    }
  }

  Result<storage::RecordView> Read(const Sample& sample) {
    const storage::SplitReader& reader = Of(sample.slot->batch().phase).reader;
    if (const auto* run =
            static_cast<const RunAhead*>(sample.slot->sample(sample.index).record_memory.get())) {
      const auto stored = run->BytesOf(sample.key.sample_id);
      if (!stored.empty()) return reader.ReadStored(sample.key.sample_id, stored);
    }
    const std::int64_t begin_ns = NowNs();
    auto record = reader.Read(sample.key.sample_id);
    if (!record) return record;
    num_reads.fetch_add(1, std::memory_order_relaxed);
    if (NowNs() - begin_ns > LongestReadInMemoryNs(record->payload.size())) {
      num_late_reads.fetch_add(1, std::memory_order_relaxed);
    }
    return record;
  }

  // Plans the sample's picture for the device. False: it is not for the device.
  bool PlanForDevice(const Sample& sample, stages::SampleState* state) {
    WorkerTools& own = tools.local();
    own.cargo.resize(kMostCargo);
    const auto plan = stages::gpu::PlanPicture(state->record, state->geometry, own.cargo);
    if (!plan) return false;
    const auto place = sample.slot->ClaimCargo(plan->bytes);
    if (!place) return false;
    std::memcpy(sample.slot->cargo_at(*place), own.cargo.data(), plan->bytes);
    state->for_device = plan->picture;
    state->for_device.output = sample.index;
    state->for_device.bytes = *place;
    ++own.for_gpu;
    return true;
  }

  // Decodes the sample's picture straight into its resize, row by row. False: it goes another way.
  bool ResizeRows(const Sample& sample, const stages::SampleState& state, stages::Box source) {
    if (state.geometry.scale != stages::kFullScale) return false;
    WorkerTools& own = tools.local();
    stages::RowSink* const rows =
        TransformOf(sample.slot->batch())
            .Begin(state.geometry, &own.resizer, sample.slot->image(sample.index));
    return rows != nullptr && own.decoder.DecodeRows(state.record, source, rows);
  }

  const std::uint64_t seed;
  const stages::DecodeMode decode_mode;
  const stages::DecodeDevice decode_device;
  std::deque<OpenSplit> splits;                  // where readers stay when more are added
  std::array<std::optional<Loader>, 3> loaders;  // by phase
  std::optional<EpochOrder> planned;             // of what KeyAt is asked for
  std::optional<EpochOrder> announced;           // of what Prefetch is asked for
  std::optional<RunsAhead> runs;                 // of train, where the page cache is bypassed
  // Of `runs`: epoch and window that KeyAt was asked for last, and its first position whose
  // read-ahead was not asked for.
  std::optional<std::pair<std::uint32_t, std::uint64_t>> planned_window;
  std::uint64_t asked_for = 0;
  // Of `runs`, where samples are repeated: those of the last global batch, for the copies that
  // come when the window may have gone on. In the order of its first copies.
  std::vector<std::shared_ptr<const void>> held;
  std::atomic<std::uint64_t> num_reads{0};
  std::atomic<std::uint64_t> num_late_reads{0};
  oneapi::tbb::enumerable_thread_specific<WorkerTools> tools;
  ImagePool images;
};

void CheckLoaders(const Recipe& recipe) {
  bool takes_smaller = false;
  bool changes_pixels = false;
  for (const Phase phase : {Phase::kTrain, Phase::kTrainEval, Phase::kEvaluate}) {
    const LoaderRecipe* const loader = recipe.LoaderOf(phase);
    if (loader == nullptr) continue;
    const stages::Transform largest =
        std::move(MakeTransforms(*loader, recipe.known->operations).back());
    takes_smaller |= largest.TakesSmallerPictures();
    changes_pixels |= largest.HasPixelOps();
  }
  if (recipe.decode_device == stages::DecodeDevice::kGpu && changes_pixels) {
    recipe.params.Section("decode").Blame(
        "device",
        "is \"gpu\", which crops, resizes and flips, but a loader's ops change pixels after that; "
        "remove those operations, or decode.device");
  }
  if (recipe.decode_device == stages::DecodeDevice::kGpu &&
      recipe.decode_mode == stages::DecodeMode::kFast) {
    recipe.params.Section("decode").Blame(
        "mode",
        "is \"fast\", which the GPU does not know and does not need; remove it, or decode.device");
  }
  if (recipe.decode_mode == stages::DecodeMode::kExact || takes_smaller) return;
  recipe.params.Section("decode").Blame(
      "mode",
      "has no effect: \"fast\" decodes a picture smaller where an operation with resize = "
      "\"pillow\" or \"pillow12\" makes it small, and no loader has one; remove it");
}

LoaderStages::LoaderStages(const Recipe& recipe, const std::filesystem::path& dataset,
                           std::initializer_list<Phase> phases)
    : impl_(std::make_unique<Impl>(recipe, dataset, phases)) {}

LoaderStages::~LoaderStages() = default;

const storage::SplitReader& LoaderStages::train() const { return impl_->Of(Phase::kTrain).reader; }

const storage::SplitReader* LoaderStages::val() const {
  const Loader* const loader = impl_->Find(Phase::kEvaluate);
  return loader == nullptr ? nullptr : &loader->reader;
}

const std::deque<OpenSplit>& LoaderStages::splits() const { return impl_->splits; }

std::uint64_t LoaderStages::num_samples(Phase phase) const {
  const Loader* const loader = impl_->Find(phase);
  return loader == nullptr ? 0 : loader->num_samples;
}

std::uint64_t LoaderStages::EvaluatedSample(Phase phase, std::uint64_t position) const {
  return impl_->Of(phase).IdOf(position);
}

stages::Size LoaderStages::PictureSize(Phase phase) const {
  const Loader* const loader = impl_->Find(phase);
  return loader == nullptr ? stages::Size{} : loader->largest().output_size();
}

stages::Size LoaderStages::PictureSizeOf(const Batch& batch) const {
  return impl_->TransformOf(batch).output_size();
}

RandomKey LoaderStages::KeyAt(const Batch& batch, std::uint64_t position) {
  if (batch.phase != Phase::kTrain) {
    const std::uint64_t sample_id = EvaluatedSample(batch.phase, position);
    impl_->Of(batch.phase).reader.Prefetch(sample_id);
    return impl_->KeyOf(batch, sample_id);
  }
  const Loader& loader = impl_->Of(Phase::kTrain);
  const EpochOrder& order = impl_->OrderOf(batch.epoch, impl_->planned);
  const CopiedPosition at = loader.CopyAt(batch, position);
  const std::uint64_t sample_id = loader.IdOf(order.current.At(at.position));
  // Past the page cache copies have what the first one held.
  if (!impl_->runs || at.copy == 0) {
    impl_->ReadAhead(order, at.position);
    if (!impl_->runs || impl_->runs->Find(sample_id) == nullptr) loader.reader.Prefetch(sample_id);
  }
  // Copies draw as samples of epochs of their own would.
  RandomKey key = impl_->KeyOf(batch, sample_id);
  key.epoch = batch.epoch * loader.repeats + at.copy;
  return key;
}

void LoaderStages::BypassPageCache() {
  const Loader& loader = impl_->Of(Phase::kTrain);
  MILLRACE_CHECK(loader.shuffle == Shuffle::kBlocks);
  if (!impl_->runs) impl_->runs.emplace(loader.reader);
}

bool LoaderStages::bypasses_page_cache() const { return impl_->runs.has_value(); }

void LoaderStages::Plan(const Sample& sample) {
  stages::SampleState& state = sample.slot->sample(sample.index);
  const Batch& batch = sample.slot->batch();
  state.copy = 0;
  state.record_memory.reset();
  if (batch.phase != Phase::kTrain) return;
  const Loader& loader = impl_->Of(Phase::kTrain);
  const CopiedPosition at = loader.CopyAt(batch, batch.first_position + sample.index);
  state.copy = at.copy;
  if (!impl_->runs) return;
  if (loader.repeats == 1) {
    state.record_memory = impl_->runs->Find(sample.key.sample_id);
    return;
  }
  const std::uint64_t samples = batch.global_batch / loader.repeats;
  impl_->held.resize(samples);
  std::shared_ptr<const void>& held = impl_->held[at.position % samples];
  if (at.copy == 0) held = impl_->runs->Find(sample.key.sample_id);
  state.record_memory = held;
}

void LoaderStages::Prefetch(const Batch& batch) {
  if (impl_->runs && batch.phase == Phase::kTrain) return;
  const Loader& loader = impl_->Of(batch.phase);
  for (std::uint64_t at = batch.first_position; at < batch.first_position + batch.size; ++at) {
    loader.reader.Prefetch(loader.IdOf(batch.phase == Phase::kTrain
                                           ? impl_->OrderOf(batch.epoch, impl_->announced)
                                                 .current.At(loader.CopyAt(batch, at).position)
                                           : at));
  }
}

ReadCounts LoaderStages::reads() const {
  return {.total = impl_->num_reads.load(std::memory_order_relaxed),
          .late = impl_->num_late_reads.load(std::memory_order_relaxed)};
}

stages::DecodeCounts LoaderStages::decoded() const {
  stages::DecodeCounts all;
  for (const WorkerTools& tools : impl_->tools) {
    all += tools.decoder.counts();
    all.gpu += tools.for_gpu;
  }
  return all;
}

void LoaderStages::Read(const Sample& sample) {
  const auto record = impl_->Read(sample);
  if (!record)
    Fail("sample {}: {}; run `millrace verify` on the dataset", sample.key.sample_id,
         record.fault().message);
  sample.slot->sample(sample.index).record = *record;
  sample.slot->label(sample.index) = record->label;
}

void LoaderStages::Decode(const Sample& sample) {
  stages::SampleState& state = sample.slot->sample(sample.index);
  const stages::Size picture{static_cast<int>(state.record.width),
                             static_cast<int>(state.record.height)};
  const auto geometry = impl_->TransformOf(sample.slot->batch()).Plan(picture, sample.key);
  if (!geometry) {
    impl_->Blame(sample.slot->batch().phase, sample.key.sample_id, geometry.fault().message);
  }
  state.geometry = *geometry;
  state.geometry.scale = stages::ChooseScale(impl_->decode_mode, state.record, state.geometry);
  state.decoded_bytes = 0;
  if (impl_->decode_device == stages::DecodeDevice::kGpu && impl_->PlanForDevice(sample, &state)) {
    return;
  }
  const stages::Box source = stages::SourceOf(state.geometry);
  state.decoded_bytes = std::uint64_t{stages::kChannels} *
                        static_cast<std::uint64_t>(source.width) *
                        static_cast<std::uint64_t>(source.height);
  if (impl_->decode_device == stages::DecodeDevice::kCpu &&
      impl_->ResizeRows(sample, state, source)) {
    return;
  }
  state.decoded = impl_->images.Take();
  const Outcome outcome = impl_->tools.local().decoder.Decode(
      state.record, source, state.decoded.get(), state.geometry.scale);
  if (!outcome) {
    impl_->Blame(sample.slot->batch().phase, sample.key.sample_id, outcome.fault().message);
  }
}

void LoaderStages::Augment(const Sample& sample) {
  stages::SampleState& state = sample.slot->sample(sample.index);
  std::uint8_t* pixels = sample.slot->image(sample.index);
  if (impl_->decode_device == stages::DecodeDevice::kGpu) {
    if (!state.decoded) return;  // the device does it
    state.for_device = stages::gpu::FinishedPicture();
    state.for_device.output = sample.index;
    const auto place = sample.slot->ClaimCargo(sample.slot->image_bytes());
    MILLRACE_CHECK(place);
    state.for_device.bytes = *place;
    pixels = sample.slot->cargo_at(*place);
  }
  const stages::Transform& transform = impl_->TransformOf(sample.slot->batch());
  WorkerTools& tools = impl_->tools.local();
  if (state.decoded) {
    transform.Apply(state.geometry, *state.decoded, &tools.resizer, pixels);
    impl_->images.Return(std::move(state.decoded));
  }
  transform.ApplyPixelOps(sample.key, &tools.scratch, pixels);
  state.digest = Hash64(std::as_bytes(std::span(pixels, sample.slot->image_bytes())));
  // A device may find that it cannot decode what it got: then the record is wanted again.
  if (impl_->decode_device == stages::DecodeDevice::kCpu) state.record_memory.reset();
}

void LoaderStages::DecodeOnHost(const stages::Slot& slot, std::uint32_t index,
                                std::uint8_t* pixels) {
  const stages::SampleState& state = slot.sample(index);
  WorkerTools& tools = impl_->tools.local();
  std::unique_ptr<stages::Image> image = impl_->images.Take();
  const Outcome outcome =
      tools.decoder.Decode(state.record, stages::SourceOf(state.geometry), image.get());
  if (!outcome) impl_->Blame(slot.batch().phase, state.sample_id, outcome.fault().message);
  impl_->TransformOf(slot.batch()).Apply(state.geometry, *image, &tools.resizer, pixels);
  impl_->images.Return(std::move(image));
}

std::vector<std::uint8_t> LoaderStages::MakePicture(const Batch& batch, std::uint64_t sample_id) {
  const auto record = impl_->Of(batch.phase).reader.Read(sample_id);
  if (!record) {
    Fail("sample {}: {}; run `millrace verify` on the dataset", sample_id, record.fault().message);
  }
  const RandomKey key = impl_->KeyOf(batch, sample_id);
  const stages::Transform& transform = impl_->TransformOf(batch);
  const auto geometry =
      transform.Plan({static_cast<int>(record->width), static_cast<int>(record->height)}, key);
  if (!geometry) impl_->Blame(batch.phase, sample_id, geometry.fault().message);
  stages::Geometry scaled = *geometry;
  scaled.scale = stages::ChooseScale(impl_->decode_mode, *record, scaled);
  WorkerTools& tools = impl_->tools.local();
  std::unique_ptr<stages::Image> image = impl_->images.Take();
  const Outcome outcome =
      tools.decoder.Decode(*record, stages::SourceOf(scaled), image.get(), scaled.scale);
  if (!outcome) impl_->Blame(batch.phase, sample_id, outcome.fault().message);
  const stages::Size size = transform.output_size();
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size.width) *
                                   static_cast<std::size_t>(size.height) * stages::kChannels);
  transform.Apply(scaled, *image, &tools.resizer, pixels.data());
  transform.ApplyPixelOps(key, &tools.scratch, pixels.data());
  impl_->images.Return(std::move(image));
  return pixels;
}

}  // namespace millrace::pipeline
