#include "pipeline/profile/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/format.h"

namespace millrace::pipeline {
namespace {

// Who limits is at work all the time, but for what the graph itself costs, or has work waiting all
// the time. The second is needed where small pictures leave workers with the graph's own work, and
// on machines that leave a thread without a core.
constexpr double kBusyLanes = 0.9;
constexpr double kBusySerialStage = 0.75;
constexpr double kWorkWaiting = 0.75;

constexpr std::array kWorkerStages = {Stage::kPlan,    Stage::kRead,    Stage::kDecode,
                                      Stage::kAugment, Stage::kCollate, Stage::kSequence};

std::string Rate(double images_per_s) {
  return images_per_s < 10 ? fmt::format("{:.1f}", images_per_s)
                           : FormatCount(static_cast<std::uint64_t>(std::llround(images_per_s)));
}

std::string Plural(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", FormatCount(count), noun, count == 1 ? "" : "s");
}

Stage BusiestOf(const GraphUse& use, const auto& stages) {
  return *std::max_element(stages.begin(), stages.end(), [&](Stage a, Stage b) {
    return use.of(a).busy_cores < use.of(b).busy_cores;
  });
}

double WorkerCores(const GraphUse& use) {
  double cores = 0;
  for (const Stage stage : kWorkerStages) cores += use.of(stage).busy_cores;
  return cores;
}

// What the verdict is made of.
struct Facts {
  const GraphUse& use;  // with the train step where there is one, or of the feed alone
  int workers;
  int cores;
  double feed_images_per_s;
  std::optional<double> lanes_images_per_s;
};

std::string WorkersOf(const Facts& facts) {
  return facts.workers <= facts.cores
             ? "on " + Plural(static_cast<std::uint64_t>(facts.workers), "core")
             : fmt::format("with {} workers on {}", facts.workers,
                           Plural(static_cast<std::uint64_t>(facts.cores), "core"));
}

std::string_view AdviceFor(Stage stage) {
  switch (stage) {
    case Stage::kPlan:
      return "naming the samples and asking the disk for them ahead takes the time: put the "
             "dataset "
             "on a faster disk, or set data.train.shuffle = \"blocks\", which asks for long runs";
    case Stage::kRead:
      return "put the dataset on a faster disk or into memory, or set data.train.shuffle = "
             "\"blocks\", which reads neighbouring records together";
    case Stage::kDecode:
      return "give it more cores (pipeline.workers, pipeline.cpu_budget), or store smaller "
             "pictures "
             "(millrace convert --resize-short)";
    case Stage::kAugment:
      return "give it more cores (pipeline.workers, pipeline.cpu_budget), or a smaller size in the "
             "recipe's operations";
    case Stage::kCollate:
    case Stage::kSequence:
      return "larger batches (batch.per_device) need fewer of these calls";
    case Stage::kCopy:
      return "the lane's thread spends its time on the copy: more devices share it, smaller "
             "pictures "
             "need less of it";
    case Stage::kTrainStep:
      return "the device is the limit, as it should be: only a faster or a further device, or a "
             "cheaper model, trains faster";
  }
  return {};
}

Verdict LaneVerdict(const Facts& facts) {
  const Stage stage = BusiestOf(facts.use, std::array{Stage::kCopy, Stage::kTrainStep});
  const double rate = facts.use.images_per_s;
  Verdict verdict{.limit = std::string(StageName(stage)), .sentence = {}, .advice = {}};
  verdict.sentence =
      fmt::format("{}-bound: {} images/s; the device waits for data {:.1f} % of the time",
                  verdict.limit, Rate(rate), 100 * std::max(0.0, 1 - facts.use.lanes_busy));
  if (facts.lanes_images_per_s) {
    verdict.sentence += fmt::format("; the feed alone makes {} images/s {}, {:.1f} times as many",
                                    Rate(facts.feed_images_per_s), WorkersOf(facts),
                                    facts.feed_images_per_s / rate);
  }
  verdict.advice = AdviceFor(stage);
  return verdict;
}

Verdict FeedVerdict(const Facts& facts, Stage stage) {
  const double rate = facts.use.images_per_s;
  const double cores = WorkerCores(facts.use);
  Verdict verdict{.limit = std::string(StageName(stage)), .sentence = {}, .advice = {}};
  verdict.sentence =
      fmt::format("{}-bound: {} images/s {}", verdict.limit, Rate(rate), WorkersOf(facts));
  if (facts.lanes_images_per_s && *facts.lanes_images_per_s > rate) {
    const auto needed =
        static_cast<std::uint64_t>(std::ceil(cores * *facts.lanes_images_per_s / rate));
    verdict.sentence += fmt::format("; the device could take {}", Rate(*facts.lanes_images_per_s));
    // A serial stage gets no faster with more of them.
    if (stage != Stage::kPlan && stage != Stage::kSequence) {
      verdict.sentence += fmt::format(
          "; {} would do", Plural(std::max(needed, static_cast<std::uint64_t>(facts.workers) + 1),
                                  facts.workers <= facts.cores ? "core" : "worker"));
    }
  } else {
    verdict.sentence += fmt::format(", {:.0f} % of the workers' time in {}",
                                    100 * facts.use.of(stage).busy_cores / cores, verdict.limit);
  }
  verdict.advice = AdviceFor(stage);
  return verdict;
}

}  // namespace

Verdict Judge(const Measurements& measured, int workers, int cores) {
  Facts facts{.use = measured.main().use,
              .workers = workers,
              .cores = cores,
              .feed_images_per_s = measured.feed.use.images_per_s,
              .lanes_images_per_s = {}};
  if (measured.lanes) facts.lanes_images_per_s = measured.lanes->use.images_per_s;
  const GraphUse& use = facts.use;
  // Alone, each side shows what it can do; the slower one limits. (Shares of time alone could not
  // tell: a device's thread that is woken late on a busy machine looks like one that works.)
  // The copy belongs to both.
  const bool lanes_are_slower = measured.feed.use.ready >= kWorkWaiting ||
                                !facts.lanes_images_per_s ||
                                *facts.lanes_images_per_s <= facts.feed_images_per_s;
  const bool lanes_are_busy = use.lanes_busy >= kBusyLanes || use.ready >= kWorkWaiting;
  if (lanes_are_slower && lanes_are_busy) return LaneVerdict(facts);
  const double plan = use.of(Stage::kPlan).busy_cores;
  const double sequence = use.of(Stage::kSequence).busy_cores;
  const double serial = std::max(plan, sequence);
  if (serial >= kBusySerialStage && serial >= use.workers_busy) {
    return FeedVerdict(facts, plan >= sequence ? Stage::kPlan : Stage::kSequence);
  }
  if (use.backlog >= kWorkWaiting) return FeedVerdict(facts, BusiestOf(use, kWorkerStages));
  return {
      .limit = "slots",
      .sentence = fmt::format(
          "slots-bound: {} images/s; workers are busy {:.0f} % and devices {:.0f} % of the time, "
          "so they wait for each other",
          Rate(use.images_per_s), 100 * use.workers_busy, 100 * use.lanes_busy),
      .advice = "more batches in flight (pipeline.slots) let them overlap"};
}

}  // namespace millrace::pipeline
