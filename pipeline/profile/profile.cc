#include "pipeline/profile/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"

namespace millrace::pipeline {
namespace {

using stages::Batch;
using stages::Sample;
using stages::Slot;

// Steps of each lane that are measured at least, however long they take.
constexpr std::uint64_t kFewestSteps = 4;

// Ends a run when enough of its steps are measured. Lane 0 calls it.
class Deadline {
 public:
  Deadline(const MeasureOptions& options, std::string_view label, std::uint64_t warm_up, Stop& stop)
      : options_(options), label_(label), warm_up_(warm_up), stop_(stop) {}

  void StepDone() {
    ++done_;
    if (done_ == warm_up_) begin_ns_ = NowNs();
    const double seconds = done_ < warm_up_ ? 0 : NsToSeconds(NowNs() - begin_ns_);
    if (options_.progress) options_.progress(label_, std::min(seconds, options_.seconds));
    if (done_ >= warm_up_ + kFewestSteps && seconds >= options_.seconds && !stop_.stopped()) {
      memory_ = ReadResidentMemory();
      stop_.Request();
    }
  }

  // When it has ended the run.
  const ResidentMemory& memory() const { return memory_; }

 private:
  const MeasureOptions& options_;
  const std::string_view label_;
  const std::uint64_t warm_up_;
  Stop& stop_;
  std::uint64_t done_ = 0;
  std::int64_t begin_ns_ = 0;  // when the warm-up was over
  ResidentMemory memory_;
};

class FirstLane final : public LaneWork {
 public:
  FirstLane(LaneWork& lane, Deadline& deadline) : lane_(lane), deadline_(deadline) {}

  bool CopiesAhead() const override { return lane_.CopiesAhead(); }
  bool Busy() const noexcept override { return lane_.Busy(); }
  void Copy(Slot& slot) override { lane_.Copy(slot); }
  void TrainStep(const Slot& slot) override {
    lane_.TrainStep(slot);
    deadline_.StepDone();
  }

 private:
  LaneWork& lane_;
  Deadline& deadline_;
};

// Fills each slot once and leaves what is in it from then on.
class CachedSamples final : public SampleWork {
 public:
  CachedSamples(SampleWork& samples, std::uint32_t num_slots)
      : samples_(samples), num_slots_(num_slots) {}

  stages::Size PictureSize(stages::Phase phase) const override {
    return samples_.PictureSize(phase);
  }
  stages::Size PictureSizeOf(const Batch& batch) const override {
    return samples_.PictureSizeOf(batch);
  }
  RandomKey KeyAt(const Batch& batch, std::uint64_t position) override {
    return IsFirst(batch) ? samples_.KeyAt(batch, position) : RandomKey{.sample_id = position};
  }
  void Plan(const Sample& sample) override {
    if (IsFirst(sample.slot->batch())) samples_.Plan(sample);
  }
  void Read(const Sample& sample) override {
    if (IsFirst(sample.slot->batch())) samples_.Read(sample);
  }
  void Decode(const Sample& sample) override {
    if (IsFirst(sample.slot->batch())) samples_.Decode(sample);
  }
  void Augment(const Sample& sample) override {
    if (IsFirst(sample.slot->batch())) samples_.Augment(sample);
  }

 private:
  // The graph begins with a batch in every slot.
  bool IsFirst(const Batch& batch) const { return batch.sequence < num_slots_; }

  SampleWork& samples_;
  const std::uint32_t num_slots_;
};

// " (read: 1 of 1,234 calls failed)"
std::string DescribeFailures(const StageStats& stats) {
  std::string failures;
  for (std::size_t i = 0; i < kNumStages; ++i) {
    const StageFigures figures = stats.Figures(static_cast<Stage>(i));
    if (figures.failures == 0) continue;
    failures += fmt::format("{}{}: {} of {} calls failed", failures.empty() ? " (" : ", ",
                            StageName(static_cast<Stage>(i)), FormatCount(figures.failures),
                            FormatCount(figures.calls));
  }
  return failures.empty() ? failures : failures + ")";
}

Measurement Measure(const MeasureOptions& options, const MeasuredGraph& graph,
                    std::string_view label, SampleWork& samples, const MakeLanes& make_lanes) {
  // When every slot has come round twice, the graph is full, or runs dry, for good.
  const std::uint64_t warm_up =
      (2 * std::uint64_t{options.graph.num_slots} + graph.lanes - 1) / graph.lanes;
  Stop stop;
  StageStats stats;
  StageTrace trace;
  Deadline deadline(options, label, warm_up, stop);
  const auto lanes = make_lanes(stop);
  FirstLane first(*lanes.front(), deadline);
  std::vector<LaneWork*> work = {&first};
  for (std::size_t lane = 1; lane < lanes.size(); ++lane) work.push_back(lanes[lane].get());
  GraphOptions graph_options = options.graph;
  graph_options.trace = &trace;
  std::mutex slots_mutex;
  std::uint32_t slots = graph_options.num_slots;
  graph_options.on_more_slots = [&](const MoreSlots& more) {
    const std::lock_guard lock(slots_mutex);
    slots = std::max(slots, more.now);
    if (options.graph.on_more_slots) options.graph.on_more_slots(more);
  };
  try {
    RunGraph(graph_options, graph.batches(), samples, work, stop, stats);
  } catch (const Error& error) {
    throw Error(error.what() + DescribeFailures(stats), error.exit_code());
  }

  Measurement measured{
      .use = {},
      .calls = trace.Calls(),
      .dropped = trace.dropped(),
      .slots = slots,
      .memory = deadline.memory(),
      .slot_bytes = std::uint64_t{slots} * graph_options.max_batch * graph_options.max_image_bytes,
      .lane_bytes = graph.lane_bytes};
  const Span span = SpanOfSteps(measured.calls, warm_up);
  if (span.end_ns <= span.begin_ns) {
    Fail("the graph ended after too few steps to measure: it takes more than {} of each device",
         warm_up);
  }
  measured.use = UseWithin(measured.calls, span, options.graph.workers, graph.lanes);
  return measured;
}

}  // namespace

Measurements MeasureGraph(const MeasureOptions& options, const MeasuredGraph& graph) {
  Measurements all;
  if (graph.step_lanes) {
    all.whole = Measure(options, graph, "with the train step", graph.samples, graph.step_lanes);
  }
  all.feed = Measure(options, graph, "feed alone", graph.samples, graph.feed_lanes);
  if (graph.step_lanes) {
    CachedSamples cached(graph.samples, options.graph.num_slots);
    MeasureOptions without_feed = options;  // of which more slots or fewer workers would speak
    without_feed.graph.max_slots = 0;
    without_feed.graph.least_workers = 0;
    all.lanes = Measure(without_feed, graph, "train step alone", cached, graph.step_lanes);
  }
  return all;
}

}  // namespace millrace::pipeline
