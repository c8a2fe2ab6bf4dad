#include "pipeline/profile/profile_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/process.h"
#include "model/loss.h"
#include "model/schedule.h"
#include "pipeline/batch_plan.h"
#include "pipeline/gpus.h"
#include "pipeline/lane.h"
#include "pipeline/lane_groups.h"
#include "pipeline/loader_stages.h"
#include "pipeline/training_setup.h"

namespace millrace::pipeline {
namespace {

// Copies batches to a device and does nothing with them.
class CopyLane : public LaneWork {
 public:
  explicit CopyLane(std::unique_ptr<LaneDevice> device) : device_(std::move(device)) {}

  bool CopiesAhead() const override { return device_->CopiesAhead(); }
  bool Busy() const noexcept override { return device_->Busy(); }
  void Copy(stages::Slot& slot) override {
    RunOnDevice(*device_, [&] {
      if (!std::exchange(entered_, true)) device_->Enter();
      device_->Copy(slot);
    });
  }
  void TrainStep(const stages::Slot&) override {
    RunOnDevice(*device_, [&] {
      device_->Take();
      device_->WaitUntilRead();
    });
  }

 private:
  std::unique_ptr<LaneDevice> device_;
  bool entered_ = false;
};

// A device that is not there: each of its steps takes the same time. It copies while it computes,
// as devices do, so that a copy takes nothing from its next step's time.
class EmulatedLane final : public LaneWork {
 public:
  EmulatedLane(std::unique_ptr<LaneDevice> device, double step_ms)
      : lane_(std::move(device)), step_ns_(static_cast<std::int64_t>(step_ms * 1e6)) {}

  bool CopiesAhead() const override { return true; }
  void Copy(stages::Slot& slot) override {
    if (slot.number() >= begin_ns_.size()) begin_ns_.resize(slot.number() + 1);
    begin_ns_[slot.number()] = NowNs();
    lane_.Copy(slot);
  }
  void TrainStep(const stages::Slot& slot) override {
    lane_.TrainStep(slot);
    free_ns_ = std::max(free_ns_, begin_ns_[slot.number()]) + step_ns_;
    std::this_thread::sleep_for(std::chrono::nanoseconds(free_ns_ - NowNs()));
  }

 private:
  CopyLane lane_;
  const std::int64_t step_ns_;
  std::vector<std::int64_t> begin_ns_;  // of each slot's copy
  std::int64_t free_ns_ = 0;            // when the device has done what it was given
};

// A run of which nothing is kept.
class UnrecordedRun final : public LaneRun {
 public:
  explicit UnrecordedRun(std::unique_ptr<model::Schedule> schedule)
      : schedule_(std::move(schedule)) {}

  double LearningRate(std::uint64_t step) const override {
    return schedule_->LearningRateAt(static_cast<std::int64_t>(step));
  }
  bool EvaluatesAfter(std::uint64_t) const override { return false; }
  // Every step is waited for, so that its call takes as long as the device does; the copy of the
  // next batch is under way meanwhile.
  bool NeedsWeightsAfter(std::uint64_t) const override { return true; }
  std::uint32_t EvaluatingRanks(stages::Phase) const override { return 0; }
  bool Interrupted(std::uint64_t) const override { return false; }
  void FinishStep(const FinishedStep&) override {}
  bool ContinueEvaluation(const stages::Batch&, const LaneState&) override { return false; }
  bool FinishEvaluation(const stages::Batch&, const model::EvaluationResult&,
                        const LaneState&) override {
    return true;
  }

 private:
  std::unique_ptr<model::Schedule> schedule_;
};

// What the lanes of one measurement share.
struct SharedByLanes {
  SharedByLanes(const Recipe& recipe, const Devices& devices, Replicas& replicas, const Stop& stop)
      : loss(model::MakeLoss(recipe.params.Section("loss"), recipe.known->model)),
        run(std::move(replicas.schedule)),
        groups({.store = model::Store::InProcess(), .world_size = devices.lanes()},
               ReplicasOf(replicas, devices), /*trains=*/true, stop) {}

  std::unique_ptr<model::Loss> loss;
  UnrecordedRun run;
  LaneGroups groups;
};

// A lane with its share of what belongs to all.
class StepLane final : public LaneWork {
 public:
  StepLane(std::shared_ptr<SharedByLanes> shared, Lane::Parts parts)
      : shared_(std::move(shared)), lane_(std::move(parts)) {}

  bool CopiesAhead() const override { return lane_.CopiesAhead(); }
  bool Busy() const noexcept override { return lane_.Busy(); }
  void Copy(stages::Slot& slot) override { lane_.Copy(slot); }
  void TrainStep(const stages::Slot& slot) override { lane_.TrainStep(slot); }

 private:
  std::shared_ptr<SharedByLanes> shared_;  // outlives lane_
  Lane lane_;
};

// What all lanes are made from.
struct LaneSource {
  const Recipe& recipe;
  Devices devices;
  LoaderStages& loaders;
  tracking::RunLog& log;

  std::unique_ptr<LaneDevice> MakeDevice(std::uint32_t lane) const {
    return MakeLaneDevice(recipe, devices, lane, UsePrecision(recipe), loaders, log);
  }
};

MakeLanes MakeCopyLanes(const LaneSource& source) {
  return [source](const Stop&) {
    std::vector<std::unique_ptr<LaneWork>> made;
    for (std::uint32_t lane = 0; lane < source.devices.lanes(); ++lane) {
      made.push_back(std::make_unique<CopyLane>(source.MakeDevice(lane)));
    }
    return made;
  };
}

MakeLanes MakeEmulatedLanes(const LaneSource& source, double step_ms) {
  return [source, step_ms](const Stop&) {
    std::vector<std::unique_ptr<LaneWork>> made;
    for (std::uint32_t lane = 0; lane < source.devices.lanes(); ++lane) {
      made.push_back(std::make_unique<EmulatedLane>(source.MakeDevice(lane), step_ms));
    }
    return made;
  };
}

MakeLanes MakeStepLanes(const LaneSource& source, std::int64_t classes, const BatchSizes& batch,
                        const BatchPlan& counts) {
  return [source, classes, batch, &counts](const Stop& stop) {
    Replicas replicas = MakeReplicas(source.recipe, classes, source.devices, counts);
    const auto shared =
        std::make_shared<SharedByLanes>(source.recipe, source.devices, replicas, stop);
    std::vector<std::unique_ptr<LaneWork>> made;
    for (std::uint32_t lane = 0; lane < source.devices.lanes(); ++lane) {
      Replica& replica = replicas.lanes[lane];
      made.push_back(
          std::make_unique<StepLane>(shared, Lane::Parts{.lane = lane,
                                                         .accumulation = batch.accumulation,
                                                         .device = source.MakeDevice(lane),
                                                         .network = std::move(replica.network),
                                                         .optimizer = std::move(replica.optimizer),
                                                         .scaler = std::move(replica.scaler),
                                                         .average = std::move(replica.average),
                                                         .amp = replicas.precision.amp,
                                                         .loss = *shared->loss,
                                                         .mixing = replicas.mixing,
                                                         .run = shared->run,
                                                         .group = shared->groups.of(lane)}));
    }
    return made;
  };
}

}  // namespace

ProfileReport ProfileRecipe(const Recipe& trained, const ProfileOptions& options,
                            tracking::RunLog& log) {
  Recipe recipe = trained;
  // Of pictures that grow, the ones of the last epochs, which take the longest.
  recipe.train.progressive.reset();
  const Devices& devices = options.devices;
  const std::uint32_t lanes = devices.lanes();
  CheckRecipe(trained);
  LoaderStages loaders(recipe, options.dataset, {stages::Phase::kTrain});
  RefuseOtherClasses(loaders.train(), recipe);
  const auto classes = static_cast<std::int64_t>(loaders.train().manifest().classes.size());
  RehearseModel(recipe, classes, loaders, /*trains=*/true, /*evaluates=*/false);
  if (ShouldBypassPageCache(recipe, loaders.train(), /*processes=*/1, MemoryLimit())) {
    loaders.BypassPageCache();
  }
  const BatchSizes batch = ResolveBatch(recipe, lanes);
  CheckRepeats(recipe, batch, lanes);
  const BatchPlan plan({.train_samples = loaders.num_samples(stages::Phase::kTrain),
                        .per_device = batch.per_device,
                        .accumulation = batch.accumulation,
                        .lanes = lanes,
                        .world_size = lanes,
                        // More than anybody measures: an epoch of a small set is soon over.
                        .epochs = std::numeric_limits<std::uint32_t>::max()});
  MeasureOptions measure{
      .graph = MakeGraphOptions(recipe, loaders, batch, devices, /*trains=*/true,
                                /*evaluates=*/false),
      .seconds = options.seconds,
      .progress = [&](std::string_view label, double done_s) {
        log.Emit(tracking::Progress{.label = fmt::format("profile {}", label),
                                    .done = static_cast<std::uint64_t>(done_s),
                                    .total = static_cast<std::uint64_t>(std::ceil(options.seconds)),
                                    .unit = "s",
                                    .detail = ""});
      }};
  const LaneSource source{.recipe = recipe, .devices = devices, .loaders = loaders, .log = log};
  MeasuredGraph graph{
      .samples = loaders,
      .lanes = lanes,
      .batches =
          [&] {
            return [own = ReadAhead(plan, MakeReadAheadOptions(recipe, loaders, loaders.train(),
                                                               batch.per_device, log))]() mutable {
              return own.Next();
            };
          },
      .feed_lanes = MakeCopyLanes(source),
      .step_lanes = {},
      // Each CPU lane has one batch of floats; those of GPUs are there.
      .lane_bytes =
          devices.gpus.empty()
              ? std::uint64_t{lanes} * measure.graph.max_batch * measure.graph.max_image_bytes *
                    c10::elementSize(FormatOfImages(recipe, devices, UsePrecision(recipe)).type)
              : 0};
  if (options.step == ProfiledStep::kEmulated) {
    graph.step_lanes = MakeEmulatedLanes(source, options.emulated_step_ms);
  } else if (options.step == ProfiledStep::kReal) {
    graph.step_lanes = MakeStepLanes(source, classes, batch, plan);
  }

  if (!devices.choice.empty()) log.Text("{}", devices.choice);
  log.Text("{}", DescribeGraph(recipe, measure.graph, lanes));
  if (loaders.bypasses_page_cache()) log.Text("{}", DescribeBypass(loaders.train()));
  if (trained.train.progressive) {
    log.Text("all pictures have the size of the last epochs; in earlier ones they are smaller");
  }
  measure.graph.on_more_slots = [&log](const MoreSlots& more) {
    log.Text("{}", DescribeMoreSlots(more));
  };
  measure.graph.on_workers = [&log](const WorkersAtWork& change) {
    log.Text("{}", DescribeWorkers(change));
  };
  const stages::Size picture = loaders.PictureSize(stages::Phase::kTrain);
  ProfileReport report{.recipe = recipe.name,
                       .dataset = options.dataset.string(),
                       .devices = devices.Text(),
                       .per_device = batch.per_device,
                       .picture_width = picture.width,
                       .picture_height = picture.height,
                       .workers = measure.graph.workers,
                       .slots = 0,
                       .lanes = lanes,
                       .cores = AvailableCores(),
                       .step = options.step,
                       .emulated_step_ms = options.emulated_step_ms,
                       .measured = MeasureGraph(measure, graph),
                       .decoded = {},
                       .verdict = {}};
  report.decoded = loaders.decoded();
  report.slots = report.measured.main().slots;
  report.verdict = Judge(report.measured, report.workers, report.cores);
  return report;
}

}  // namespace millrace::pipeline
