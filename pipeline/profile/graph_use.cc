#include "pipeline/profile/graph_use.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace millrace::pipeline {
namespace {

constexpr bool IsOfLane(Stage stage) { return stage == Stage::kCopy || stage == Stage::kTrainStep; }

// The part of a call that lies in the span [ns].
std::int64_t Within(const StageCall& call, const Span& span) {
  return std::max<std::int64_t>(
      0, std::min(call.end_ns, span.end_ns) - std::max(call.begin_ns, span.begin_ns));
}

bool EndsWithin(const StageCall& call, const Span& span) {
  return call.end_ns > span.begin_ns && call.end_ns <= span.end_ns;
}

// When each batch was planned.
class PlannedTimes {
 public:
  explicit PlannedTimes(const std::vector<StageCall>& calls) {
    for (const StageCall& call : calls) {
      // A plan hands samples on while it goes on itself.
      if (call.stage == Stage::kPlan) begin_ns_.emplace(call.batch, call.begin_ns);
    }
  }

  std::optional<std::int64_t> Of(std::uint64_t batch) const {
    const auto found = begin_ns_.find(batch);
    if (found == begin_ns_.end()) return {};
    return found->second;
  }

 private:
  std::unordered_map<std::uint64_t, std::int64_t> begin_ns_;
};

// When each call could have begun: the end of what comes before it in the flow.
class Predecessors {
 public:
  explicit Predecessors(const std::vector<StageCall>& calls) : planned_(calls) {}

  // To be called for all calls in the order of their ends. Returns how long the call's message
  // waited [ns]; less than 0 where that is not known.
  std::int64_t WaitOf(const StageCall& call) {
    const std::int64_t wait = KnownWait(call);
    Remember(call);
    return wait;
  }

 private:
  struct OfBatch {
    std::int64_t collated_ns = -1;  // end of its last collate so far
    std::int64_t sequenced_ns = -1;
    std::int64_t copied_ns = -1;
    std::vector<std::int64_t> samples;  // end of the last stage of each
  };

  std::int64_t KnownWait(const StageCall& call) {
    const auto since = [&](std::int64_t ns) {
      return ns < 0 ? -1 : std::max<std::int64_t>(0, call.begin_ns - ns);
    };
    const OfBatch& batch = batches_[call.batch];
    switch (call.stage) {
      case Stage::kPlan: {
        const auto freed = freed_ns_.find(call.slot);
        return freed == freed_ns_.end() ? -1 : since(freed->second);
      }
      case Stage::kRead:
        return since(planned_.Of(call.batch).value_or(-1));
      case Stage::kDecode:
      case Stage::kAugment:
      case Stage::kCollate:
        return call.sample < batch.samples.size() ? since(batch.samples[call.sample]) : -1;
      case Stage::kSequence:
        return since(batch.collated_ns);
      case Stage::kCopy:
        return since(batch.sequenced_ns);
      default:
        return since(batch.copied_ns);
    }
  }

  void Remember(const StageCall& call) {
    OfBatch& batch = batches_[call.batch];
    switch (call.stage) {
      case Stage::kPlan:
        break;
      case Stage::kCollate:
        batch.collated_ns = call.end_ns;
        [[fallthrough]];
      case Stage::kRead:
      case Stage::kDecode:
      case Stage::kAugment:
        if (batch.samples.size() <= call.sample) batch.samples.resize(call.sample + 1, -1);
        batch.samples[call.sample] = call.end_ns;
        break;
      case Stage::kSequence:
        batch.sequenced_ns = call.end_ns;
        break;
      case Stage::kCopy:
        batch.copied_ns = call.end_ns;
        break;
      case Stage::kTrainStep:
        freed_ns_[call.slot] = call.end_ns;
        batches_.erase(call.batch);
        break;
    }
  }

  const PlannedTimes planned_;
  std::unordered_map<std::uint64_t, OfBatch> batches_;        // in flight, by sequence
  std::unordered_map<std::uint32_t, std::int64_t> freed_ns_;  // by slot
};

// How fast each lane goes, from step to step.
class LaneRates {
 public:
  void AddStep(const StageCall& step, std::uint64_t samples) {
    const auto [at, is_first] = lanes_.try_emplace(step.lane, OfLane{.first_ns = step.end_ns});
    at->second.last_ns = step.end_ns;
    if (!is_first) at->second.samples += samples;
  }

  double Sum() const {
    double sum = 0;
    for (const auto& [lane, rate] : lanes_) {
      if (rate.samples == 0) continue;
      sum += static_cast<double>(rate.samples) /
             (static_cast<double>(rate.last_ns - rate.first_ns) * 1e-9);
    }
    return sum;
  }

 private:
  struct OfLane {
    std::int64_t first_ns = 0;
    std::int64_t last_ns = 0;
    std::uint64_t samples = 0;  // after the first step
  };
  std::map<std::uint32_t, OfLane> lanes_;
};

double Quantile(std::vector<std::int64_t>* durations, double share) {
  if (durations->empty()) return 0;
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(durations->size()));
  const auto at =
      durations->begin() + static_cast<std::ptrdiff_t>(std::min(rank, durations->size() - 1));
  std::nth_element(durations->begin(), at, durations->end());
  return static_cast<double>(*at) * 1e-6;
}

// A moment and how many batches come or go then.
using Change = std::pair<std::int64_t, int>;

std::vector<CountFrom> CountsOf(std::vector<Change> changes) {
  // At one moment those that come are first, so that no count is less than 0.
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  });
  std::vector<CountFrom> counts;
  int count = 0;
  for (const auto& [at_ns, change] : changes) {
    count += change;
    if (counts.empty() || counts.back().from_ns != at_ns) counts.push_back({.from_ns = at_ns});
    counts.back().count = count;
  }
  return counts;
}

// Of value(count) over the span.
double MeanWithin(const std::vector<CountFrom>& counts, const Span& span, int (*value)(int)) {
  double sum_ns = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const std::int64_t to_ns = i + 1 < counts.size() ? counts[i + 1].from_ns : span.end_ns;
    const Span step{std::max(counts[i].from_ns, span.begin_ns), std::min(to_ns, span.end_ns)};
    if (step.end_ns <= step.begin_ns) continue;
    sum_ns += static_cast<double>(step.end_ns - step.begin_ns) * value(counts[i].count);
  }
  return sum_ns / static_cast<double>(span.end_ns - span.begin_ns);
}

}  // namespace

Span SpanOfSteps(const std::vector<StageCall>& calls, std::size_t warm_up) {
  MILLRACE_CHECK(warm_up > 0);
  Span span;
  std::size_t steps = 0;
  for (const StageCall& call : calls) {
    if (call.stage != Stage::kTrainStep || call.lane != 0) continue;
    ++steps;
    if (steps == warm_up) span.begin_ns = call.end_ns;
    span.end_ns = call.end_ns;
  }
  return steps > warm_up ? span : Span{};
}

std::vector<CountFrom> CountReadyBatches(const std::vector<StageCall>& calls) {
  // A batch is finished when its last sample is collated.
  std::unordered_map<std::uint64_t, std::int64_t> finished_ns;
  std::vector<Change> changes;
  for (const StageCall& call : calls) {
    if (call.stage == Stage::kCollate) {
      finished_ns[call.batch] = call.end_ns;
    } else if (call.stage == Stage::kTrainStep) {
      const auto finished = finished_ns.find(call.batch);
      if (finished == finished_ns.end()) continue;
      changes.emplace_back(finished->second, 1);
      changes.emplace_back(std::max(call.begin_ns, finished->second), -1);
      finished_ns.erase(finished);
    }
  }
  return CountsOf(std::move(changes));
}

std::vector<CountFrom> CountBatchesInFlight(const std::vector<StageCall>& calls) {
  std::vector<Change> changes;
  for (const StageCall& call : calls) {
    if (call.stage == Stage::kPlan) changes.emplace_back(call.begin_ns, 1);
    if (call.stage == Stage::kTrainStep) changes.emplace_back(call.end_ns, -1);
  }
  return CountsOf(std::move(changes));
}

std::vector<CountFrom> CountSamplesWaiting(const std::vector<StageCall>& calls) {
  const PlannedTimes planned(calls);
  std::vector<Change> changes;
  for (const StageCall& call : calls) {
    if (call.stage != Stage::kRead) continue;
    const auto since_ns = planned.Of(call.batch);
    if (!since_ns || *since_ns >= call.begin_ns) continue;
    changes.emplace_back(*since_ns, 1);
    changes.emplace_back(call.begin_ns, -1);
  }
  return CountsOf(std::move(changes));
}

GraphUse UseWithin(const std::vector<StageCall>& calls, Span span, int workers,
                   std::uint32_t lanes) {
  MILLRACE_CHECK(span.end_ns > span.begin_ns && workers > 0 && lanes > 0);
  GraphUse use;
  use.span = span;
  std::array<std::vector<std::int64_t>, kNumStages> durations;
  std::array<std::int64_t, kNumStages> busy_ns{};
  std::array<std::int64_t, kNumStages> processor_ns{};
  std::array<std::int64_t, kNumStages> waited_ns{};
  std::array<std::uint64_t, kNumStages> waits{};
  std::unordered_map<std::uint64_t, std::uint64_t> samples_of;  // batches in flight
  Predecessors predecessors(calls);
  LaneRates rates;
  for (const StageCall& call : calls) {
    const auto stage = static_cast<std::size_t>(call.stage);
    StageUse& mine = use.stages[stage];
    busy_ns[stage] += Within(call, span);
    const std::int64_t wait_ns = predecessors.WaitOf(call);
    if (call.stage == Stage::kCollate) ++samples_of[call.batch];
    if (call.stage == Stage::kTrainStep && call.end_ns >= span.begin_ns &&
        call.end_ns <= span.end_ns) {
      rates.AddStep(call, samples_of[call.batch]);
    }
    if (!EndsWithin(call, span)) continue;
    ++mine.calls;
    durations[stage].push_back(call.end_ns - call.begin_ns);
    processor_ns[stage] += call.processor_ns;
    mine.bytes += call.bytes;
    mine.minor_faults += call.minor_faults;
    mine.major_faults += call.major_faults;
    if (wait_ns >= 0) {
      waited_ns[stage] += wait_ns;
      ++waits[stage];
    }
    if (call.stage == Stage::kTrainStep) {
      ++use.batches;
      use.samples += samples_of[call.batch];
    }
  }
  use.images_per_s = rates.Sum();
  const double span_ns = span.seconds() * 1e9;
  double workers_ns = 0;
  double lanes_ns = 0;
  for (std::size_t stage = 0; stage < kNumStages; ++stage) {
    StageUse& mine = use.stages[stage];
    const auto busy = static_cast<double>(busy_ns[stage]);
    mine.busy_cores = busy / span_ns;
    mine.processor_cores = static_cast<double>(processor_ns[stage]) / span_ns;
    if (mine.calls > 0) {
      double total_ns = 0;
      for (const std::int64_t ns : durations[stage]) total_ns += static_cast<double>(ns);
      mine.mean_ms = total_ns * 1e-6 / static_cast<double>(mine.calls);
    }
    mine.p50_ms = Quantile(&durations[stage], 0.50);
    mine.p90_ms = Quantile(&durations[stage], 0.90);
    mine.p99_ms = Quantile(&durations[stage], 0.99);
    if (waits[stage] > 0) {
      mine.queued_ms =
          static_cast<double>(waited_ns[stage]) * 1e-6 / static_cast<double>(waits[stage]);
    }
    (IsOfLane(static_cast<Stage>(stage)) ? lanes_ns : workers_ns) += busy;
  }
  use.workers_busy = workers_ns / span_ns / workers;
  use.lanes_busy = lanes_ns / span_ns / lanes;

  const auto ready = CountReadyBatches(calls);
  const auto any = [](int count) { return count > 0 ? 1 : 0; };
  use.ready_batches = MeanWithin(ready, span, [](int count) { return count; });
  use.ready = MeanWithin(ready, span, any);
  use.backlog = MeanWithin(CountSamplesWaiting(calls), span, any);
  return use;
}

}  // namespace millrace::pipeline
