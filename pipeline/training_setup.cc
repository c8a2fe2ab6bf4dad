#include "pipeline/training_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/format.h"
#include "base/process.h"
#include "model/deterministic.h"
#include "model/torchscript.h"
#include "pipeline/cpu_device.h"
#include "pipeline/gpus.h"
#include "pipeline/placement.h"

namespace millrace::pipeline {

using stages::Phase;

namespace {

// `learning_rate` is meant for batch.reference, if the recipe has one.
double ScaledLearningRate(const Recipe& recipe, double learning_rate, std::uint64_t global_batch) {
  // Linear scaling: Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677.
  if (recipe.reference_batch == 0) return learning_rate;
  return learning_rate * static_cast<double>(global_batch) / recipe.reference_batch;
}

// Of each lane at first: one batch in its step, one ready behind it, two being made.
constexpr std::uint32_t kFirstSlotsPerLane = 4;
// A reserve of more steps than that bridges no hiccup, but a standstill.
constexpr std::uint32_t kMostSlotsPerLane = 16;
// Slots grow to so small a part of the memory, because records want the rest as page cache.
constexpr std::uint64_t kShareOfMemory = 16;
// A single worker does not get to its samples in time beside other busy programs, because it gives
// way to all of them (docs/profile.md has the measurement).
constexpr int kLeastWorkers = 2;

// Beside those that lanes hold, all workers together need samples of their own, also when the last
// ones of a batch are being made.
// Each NUMA node makes batches of its own.
std::uint32_t FirstSlots(std::uint32_t lanes, std::uint32_t workers, std::uint32_t batch,
                         std::uint32_t nodes) {
  return std::max(kFirstSlotsPerLane * lanes,
                  2 * lanes + std::max((workers + batch - 1) / batch + 1, nodes));
}

std::uint64_t BytesOf(const storage::SplitReader& reader) {
  std::uint64_t bytes = 0;
  for (const storage::ShardInfo& shard : reader.split().shards) bytes += shard.bytes;
  return bytes;
}

c10::Device DeviceOf(const Devices& devices, std::uint32_t lane) {
  if (devices.gpus.empty()) return c10::kCPU;
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(devices.gpus[lane])};
}

}  // namespace

BatchSizes ResolveBatch(const Recipe& recipe, std::uint32_t world_size) {
  BatchSizes sizes;
  sizes.per_device = recipe.per_device;
  if (recipe.global_batch > 0) {
    if (sizes.per_device == 0) sizes.per_device = std::max(1u, recipe.global_batch / world_size);
    const std::uint64_t one_pass = std::uint64_t{sizes.per_device} * world_size;
    if (recipe.global_batch % one_pass != 0) {
      recipe.params.Section("batch").Blame(
          "global",
          fmt::format("is {}, which {} devices with batch.per_device {} cannot make: it must be a "
                      "multiple of {}",
                      recipe.global_batch, world_size, sizes.per_device, one_pass));
    }
    sizes.accumulation = static_cast<std::uint32_t>(recipe.global_batch / one_pass);
  }
  sizes.evaluate_per_device =
      recipe.evaluate_per_device > 0 ? recipe.evaluate_per_device : sizes.per_device;
  return sizes;
}

void CheckRepeats(const Recipe& recipe, const BatchSizes& batch, std::uint32_t world_size) {
  const std::uint32_t repeats = recipe.train.repeats;
  if (repeats == 1) return;
  const std::uint64_t global = std::uint64_t{batch.per_device} * world_size * batch.accumulation;
  if (global % repeats != 0) {
    recipe.train.section.Blame(
        "repeats", fmt::format("is {}, of which the global batch of {} is not a multiple", repeats,
                               FormatCount(global)));
  }
  // The first picture of a device's batch is mixed with the last one.
  const std::uint64_t samples = global / repeats;
  if (!recipe.train.mix.empty() && batch.per_device > 1 && (batch.per_device - 1) % samples == 0) {
    recipe.train.section.Blame(
        "repeats",
        fmt::format("is {}: of the {} different samples in a global batch of {}, `mix` would mix "
                    "some with themselves; make it smaller, or the batch larger",
                    repeats, FormatCount(samples), FormatCount(global)));
  }
}

GraphOptions MakeGraphOptions(const Recipe& recipe, const SampleWork& samples,
                              const BatchSizes& batch, const Devices& devices, bool trains,
                              bool evaluates) {
  const std::uint32_t lanes = devices.lanes();
  if (recipe.decode_device == stages::DecodeDevice::kGpu && devices.gpus.empty()) {
    recipe.params.Section("decode").Blame(
        "device", "is \"gpu\", but lanes are on the CPU; use --devices cuda, or remove it");
  }
  const auto image_bytes = [&](Phase phase) {
    const stages::Size size = samples.PictureSize(phase);
    return static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height) *
           stages::kChannels;
  };
  const int budget = recipe.cpu_budget > 0 ? static_cast<int>(recipe.cpu_budget) : devices.cores;
  GraphOptions options;
  if (!devices.gpus.empty()) options.allocate = PinnedPixels(devices.gpus);
  options.workers = recipe.workers > 0 ? static_cast<int>(recipe.workers) : budget;
  if (recipe.workers == 0) options.least_workers = kLeastWorkers;
  options.groups = DealWorkers(options.workers, NumaNodes());
  options.num_slots = recipe.num_slots > 0
                          ? recipe.num_slots
                          : FirstSlots(lanes, static_cast<std::uint32_t>(options.workers),
                                       trains ? batch.per_device : batch.evaluate_per_device,
                                       static_cast<std::uint32_t>(options.groups.size()));
  if (options.num_slots < options.groups.size()) options.groups.clear();
  if (options.num_slots < lanes) {
    recipe.params.Section("pipeline")
        .Blame("slots",
               fmt::format("is {}; {} devices need at least as many", options.num_slots, lanes));
  }
  if (trains) {
    options.max_batch = batch.per_device;
    options.max_image_bytes = image_bytes(Phase::kTrain);
  }
  if (evaluates) {
    options.max_batch = std::max(options.max_batch, batch.evaluate_per_device);
    for (const Phase phase : {Phase::kTrainEval, Phase::kEvaluate}) {
      options.max_image_bytes = std::max(options.max_image_bytes, image_bytes(phase));
    }
  }
  if (recipe.num_slots == 0) {
    const std::uint64_t affordable = MemoryLimit() / kShareOfMemory / devices.sharing /
                                     (std::uint64_t{options.max_batch} * options.max_image_bytes);
    options.max_slots = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(affordable, std::uint64_t{kMostSlotsPerLane} * lanes));
  }
  return options;
}

bool ShouldBypassPageCache(const Recipe& recipe, const storage::SplitReader& train,
                           std::uint32_t processes, std::uint64_t memory_bytes) {
  if (recipe.train.shuffle != Shuffle::kBlocks || processes > 1) return false;
  const std::uint64_t split_bytes = BytesOf(train);
  // What runs beside has its share of the memory; and two windows must have room in the rest.
  const std::uint64_t window = SampleOrder::kWindowBlocks * SampleOrder::kBlockSamples;
  const std::uint64_t windows_bytes =
      2 * window * (split_bytes / std::max<std::uint64_t>(1, train.size()));
  return split_bytes > memory_bytes / 4 * 3 && windows_bytes < memory_bytes / 2;
}

ReadAheadOptions MakeReadAheadOptions(const Recipe& recipe, LoaderStages& loaders,
                                      const storage::SplitReader& reader, std::uint32_t batch,
                                      tracking::RunLog& log) {
  ReadAheadOptions options{
      .batches = recipe.read_ahead.value_or(0),
      .most_batches = 0,
      .ask = [&loaders](const stages::Batch& later) { loaders.Prefetch(later); },
      .reads = [&loaders] { return loaders.reads(); }};
  if (recipe.read_ahead) return options;
  const std::uint64_t batch_bytes = std::max<std::uint64_t>(
      1, BytesOf(reader) / std::max<std::uint64_t>(1, reader.size()) * batch);
  // More than the whole split is never needed.
  options.most_batches = static_cast<std::uint32_t>(
      std::min(MemoryLimit() / kShareOfMemory / batch_bytes, reader.size() / batch));
  options.on_deeper = [&log](const DeeperReadAhead& deeper) {
    log.Text("{}", DescribeDeeperReadAhead(deeper));
  };
  return options;
}

std::string DescribeDeeperReadAhead(const DeeperReadAhead& deeper) {
  return fmt::format(
      "read-ahead of {} batches now instead of {}: {:.0f} % of the last reads waited for the disk",
      deeper.now, deeper.before, 100 * deeper.late_share);
}

std::string DescribeGraph(const Recipe& recipe, const GraphOptions& options, std::uint32_t lanes) {
  const std::string workers =
      recipe.workers > 0
          ? "as the recipe says"
          : fmt::format(
                "auto: the cores of {}{}; they give way to the devices' threads",
                recipe.cpu_budget > 0 ? "pipeline.cpu_budget" : "this process",
                options.workers > kLeastWorkers ? ", fewer where devices need no more" : "");
  std::string slots = "as the recipe says";
  if (recipe.num_slots == 0) {
    slots = options.num_slots == kFirstSlotsPerLane * lanes
                ? fmt::format("auto: {} per device", kFirstSlotsPerLane)
                : "auto: batches for all workers";
    if (options.max_slots > options.num_slots) {
      slots += fmt::format(", up to {} where devices wait for data", options.max_slots);
    }
  }
  const std::string read_ahead =
      recipe.read_ahead ? fmt::format("{} batches (as the recipe says)", *recipe.read_ahead)
                        : "what is in flight (auto: deeper where reads wait for the disk)";
  const std::string nodes =
      options.groups.size() > 1 ? fmt::format(" on {} NUMA nodes", options.groups.size()) : "";
  return fmt::format("{} workers{} ({}); {} slots of {} ({}); read-ahead {}", options.workers,
                     nodes, workers, options.num_slots,
                     FormatBytes(std::uint64_t{options.max_batch} * options.max_image_bytes), slots,
                     read_ahead);
}

std::string DescribeBypass(const storage::SplitReader& train) {
  return fmt::format(
      "training records are read past the page cache, a window of blocks ahead: {} do not fit into "
      "the memory",
      FormatBytes(BytesOf(train)));
}

std::string DescribeMoreSlots(const MoreSlots& more) {
  return fmt::format(
      "{} slots now instead of {}: a device waited {:.1f} ms for a batch although all slots had "
      "been full, and its step takes {:.1f} ms",
      more.now, more.before, static_cast<double>(more.waited_ns) * 1e-6,
      static_cast<double>(more.step_ns) * 1e-6);
}

std::string DescribeWorkers(const WorkersAtWork& change) {
  if (change.waited_ns > 0) {
    return fmt::format("all {} workers again instead of {}: a device waited {:.1f} ms for a batch",
                       change.now, change.before, static_cast<double>(change.waited_ns) * 1e-6);
  }
  return fmt::format("{} workers now instead of {}: at the devices' pace {:.1f} of them were busy",
                     change.now, change.before, change.busy);
}

int ComputeThreads(const Devices& devices) {
  // Beside a GPU there is little to compute.
  if (!devices.gpus.empty()) return 1;
  return std::max(1, devices.cores / static_cast<int>(devices.cpu_lanes));
}

void RefuseOtherClasses(const storage::SplitReader& reader, const Recipe& recipe) {
  const Params model = recipe.params.Section("model");
  const auto classes = static_cast<std::int64_t>(reader.manifest().classes.size());
  const std::int64_t wanted = model.Integer("classes", classes);
  if (wanted != classes) {
    model.Blame(
        "classes",
        fmt::format("is {}, but the dataset has {} classes; leave the setting out to take the "
                    "dataset's number",
                    wanted, classes));
  }
}

void RehearseModel(const Recipe& recipe, std::int64_t classes, const SampleWork& samples,
                   bool trains, bool evaluates) {
  const auto rehearse = [&](Phase phase) {
    const stages::Size size = samples.PictureSize(phase);
    model::RehearseTorchScript(recipe.params.Section("model"), classes, size.height, size.width,
                               phase == Phase::kTrain);
  };
  if (trains) rehearse(Phase::kTrain);
  if (trains && recipe.train_eval) rehearse(Phase::kTrainEval);
  if (evaluates) rehearse(Phase::kEvaluate);
}

model::Precision UsePrecision(const Recipe& recipe) {
  const model::Precision precision = model::ReadPrecision(recipe.params.Section("precision"));
  model::AllowTf32(precision.tf32);
  return precision;
}

stages::ImageFormat FormatOfImages(const Recipe& recipe, const Devices& devices,
                                   const model::Precision& precision) {
  const bool is_float16_on_cpu = devices.gpus.empty() && precision.amp == model::Amp::kFp16;
  const c10::MemoryFormat format = model::ReadMemoryFormat(recipe.params.Section("model"));
  return {.type = is_float16_on_cpu ? c10::ScalarType::Float : precision.image_type(),
          .layout = format == c10::MemoryFormat::Contiguous ? stages::Layout::kNchw
                                                            : stages::Layout::kNhwc};
}

std::unique_ptr<LaneDevice> MakeLaneDevice(const Recipe& recipe, const Devices& devices,
                                           std::uint32_t lane, const model::Precision& precision,
                                           LoaderStages& loaders, tracking::RunLog& log) {
  const stages::ChannelStatistics statistics{.mean = recipe.mean, .std = recipe.std};
  if (devices.gpus.empty()) {
    return std::make_unique<CpuDevice>(statistics, ComputeThreads(devices),
                                       FormatOfImages(recipe, devices, precision));
  }
  return MakeCudaDevice(
      {.gpu = devices.gpus[lane],
       .statistics = statistics,
       .format = FormatOfImages(recipe, devices, precision),
       .record_steps = recipe.cuda_graph,
       .deterministic = recipe.deterministic,
       .tell = [&log](const std::string& line) { log.Text("{}", line); },
       .decode_on_host = [&loaders](
                             const stages::Slot& slot, std::uint32_t index,
                             std::uint8_t* pixels) { loaders.DecodeOnHost(slot, index, pixels); }});
}

std::vector<LaneGroups::Replica> ReplicasOf(const Replicas& replicas, const Devices& devices) {
  std::vector<LaneGroups::Replica> list;
  for (std::uint32_t lane = 0; lane < replicas.lanes.size(); ++lane) {
    list.push_back(
        {.network = replicas.lanes[lane].network.get(), .device = DeviceOf(devices, lane)});
  }
  return list;
}

Replicas MakeReplicas(const Recipe& recipe, std::int64_t classes, const Devices& devices,
                      const BatchPlan& plan) {
  model::UseDeterministicKernels(recipe.deterministic);
  Replicas replicas;
  replicas.precision = UsePrecision(recipe);
  replicas.mixing = stages::Mixing(recipe.train.mix, recipe.seed);
  for (std::uint32_t lane = 0; lane < devices.lanes(); ++lane) {
    Replica replica;
    // The same seed: replicas start equal.
    replica.network = model::MakeNetwork(recipe.params.Section("model"), classes, recipe.seed,
                                         recipe.known->model);
    const c10::Device device = DeviceOf(devices, lane);
    replica.network->MoveTo(device);
    replica.optimizer = model::MakeOptimizer(recipe.params.Section("optimizer"),
                                             replica.network->parameters(), recipe.known->model);
    if (replicas.precision.amp == model::Amp::kFp16) {
      replica.scaler = std::make_unique<model::LossScaler>(device);
    }
    replicas.lanes.push_back(std::move(replica));
  }
  const double learning_rate = ScaledLearningRate(
      recipe, replicas.lanes.front().optimizer->learning_rate(), plan.global_batch());
  replicas.schedule =
      model::MakeSchedule(recipe.params.Section("schedule"), learning_rate,
                          static_cast<std::int64_t>(plan.steps_per_epoch()),
                          static_cast<std::int64_t>(plan.total_steps()), recipe.known->model);
  if (const auto average = model::ReadWeightAverage(recipe.params.Section("model"))) {
    for (std::uint32_t lane = 0; lane < devices.lanes(); ++lane) {
      auto mean = model::MakeNetwork(recipe.params.Section("model"), classes, recipe.seed,
                                     recipe.known->model);
      mean->MoveTo(DeviceOf(devices, lane));
      replicas.lanes[lane].average = std::make_unique<model::WeightAverage>(
          *average, static_cast<std::int64_t>(plan.steps_per_epoch()),
          replicas.schedule->warmup_steps(), *replicas.lanes[lane].network, std::move(mean));
    }
  }
  return replicas;
}

}  // namespace millrace::pipeline
