#include "pipeline/compare_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "model/checkpoint.h"
#include "pipeline/recipe.h"
#include "pipeline/run_folder.h"
#include "pipeline/run_record.h"

namespace millrace::pipeline {
namespace {

// Lines of both runs about the same moment, in the order in which one follows from the other.
struct Moment {
  std::uint64_t step = 0;
  int rank = 0;

  auto operator<=>(const Moment&) const = default;
};

constexpr std::array<std::string_view, 4> kGroups = {"train", "checkpoint", "train_eval", "val"};

std::map<Moment, const RunLine*> ByMoment(const RunRecord& run) {
  std::map<Moment, const RunLine*> lines;
  for (const RunLine& line : run.lines) {
    const auto at = std::find(kGroups.begin(), kGroups.end(), line.group);
    lines[{line.step, static_cast<int>(at - kGroups.begin())}] = &line;
  }
  return lines;
}

std::vector<DifferingValue> DifferingEnvironment(const RunRecord& a, const RunRecord& b) {
  std::vector<DifferingValue> list;
  for (const char* name : {"dataset_fingerprint", "global_batch", "lanes", "threads_per_lane",
                           "device_name", "cpu_capability", "torchscript_sha256", "weights_sha256",
                           "plugins", "libtorch", "millrace", "commit"}) {
    if (a.Environment(name) != b.Environment(name)) {
      list.push_back({name, a.Environment(name), b.Environment(name)});
    }
  }
  return list;
}

const RunLine* LastStep(const RunRecord& run) {
  const RunLine* last = nullptr;
  for (const RunLine& line : run.lines) {
    if (line.group == "train") last = &line;
  }
  return last;
}

std::string StepText(std::uint64_t after_step, std::uint64_t step) {
  if (after_step + 1 == step) return fmt::format("step {}", FormatCount(step));
  return fmt::format("one of the steps {} to {}", FormatCount(after_step + 1), FormatCount(step));
}

// How to learn more where the logs leave several steps open.
std::string HowToFind(std::uint64_t after_step, std::uint64_t step) {
  if (after_step + 1 == step) return "";
  return fmt::format(
      "; repeat the runs up to there with --set train.log_every_steps=1 --set train.max_steps={} "
      "to "
      "learn which",
      step);
}

void ExplainBatches(const RunRecord& a, const RunRecord& b, std::string_view batches_before,
                    const RunLine& line_a, const RunLine& line_b, Parting* parting) {
  std::uint64_t before = 0;
  std::from_chars(batches_before.data(), batches_before.data() + batches_before.size(), before, 16);
  parting->text = fmt::format("the samples of {} are not the same",
                              StepText(parting->after_step, parting->step));
  BatchComparison made;
  try {
    made = CompareBatches(a, b, parting->after_step, parting->step, before);
  } catch (const Error& error) {
    parting->text += fmt::format("; they cannot be made again to find the first: {}", error.what());
    return;
  }
  if (made.difference) {
    parting->sample = std::move(made.difference);
    parting->stage = parting->sample->stage;
    parting->step = parting->sample->step;
    parting->after_step = parting->step - 1;
    parting->text = fmt::format("step {}, position {} of its epoch: {}", FormatCount(parting->step),
                                FormatCount(parting->sample->position), parting->sample->text);
    return;
  }
  const std::string now = HashToHex(made.batches);
  const char* whose = now == line_a.Value("batches")   ? "A's, not B's"
                      : now == line_b.Value("batches") ? "B's, not A's"
                                                       : "neither run's";
  parting->text += fmt::format(
      "; made again now, from recipe and dataset, both are the same, and {}: another version of "
      "the program or a faulty machine made the others{}",
      whose, HowToFind(parting->after_step, parting->step));
}

// What the lines of one moment that both runs tell of say differently; nothing: they are equal.
std::optional<Parting> CompareMoment(const RunRecord& a, const RunRecord& b, const RunLine& line_a,
                                     const RunLine& line_b, const RunLine* before) {
  if (line_a.values == line_b.values) return {};
  Parting parting{.after_step = before == nullptr ? 0 : before->step,
                  .step = line_a.step,
                  .stage = Stage::kTrainStep,
                  .sample = {},
                  .text = {}};
  const auto differs = [&](const char* name) { return line_a.Value(name) != line_b.Value(name); };
  const std::string steps = StepText(parting.after_step, parting.step);
  const std::string how = HowToFind(parting.after_step, parting.step);
  if (line_a.group == "checkpoint") {
    parting.evidence = Evidence::kWeights;
    parting.text = fmt::format("the weights after step {} are not the same, though losses are",
                               FormatCount(parting.step));
  } else if (line_a.group != "train") {
    parting.evidence = Evidence::kEvaluation;
    parting.stage = {};
    std::string values;
    for (const auto& [name, value] : line_a.values) {
      if (!differs(name.c_str())) continue;
      values += fmt::format("{}{} {} in A, {} in B", values.empty() ? "" : "; ", name, value,
                            line_b.Value(name));
    }
    parting.text = fmt::format("the evaluation ({}) after step {} does not find the same: {}",
                               line_a.group, FormatCount(parting.step), values);
  } else if (differs("batches")) {
    parting.evidence = Evidence::kBatches;
    parting.stage = {};
    ExplainBatches(a, b, before == nullptr ? "0" : before->Value("batches"), line_a, line_b,
                   &parting);
  } else if (differs("lr")) {
    parting.evidence = Evidence::kLearningRate;
    parting.text = fmt::format(
        "the learning rate of step {} is {} in A and {} in B; samples are "
        "the same up to there",
        FormatCount(parting.step), line_a.Value("lr"), line_b.Value("lr"));
  } else {
    parting.evidence = Evidence::kLoss;
    parting.text = fmt::format(
        "{} gives another loss from the same samples (step {}: {} in A, {} in B){}", steps,
        FormatCount(parting.step), line_a.Value("loss"), line_b.Value("loss"), how);
  }
  return parting;
}

// The newest checkpoint of a run, with a line of where it stands if the run's own do not say it.
model::FoundCheckpoint NewestCheckpoint(const RunRecord& run) {
  model::CheckpointSearch search = model::FindNewestCheckpoint(RunFolder{run.root}.checkpoints());
  if (!search.newest) {
    Fail("{} has no usable checkpoint, so that its weights cannot be compared{}", run.root.string(),
         search.skipped.empty() ? "" : ": " + search.skipped.front());
  }
  return std::move(*search.newest);
}

std::optional<Parting> CompareEnds(const RunRecord& a, const RunRecord& b, const RunLine* before) {
  const std::uint64_t after_step = before == nullptr ? 0 : before->step;
  const RunLine* last_a = LastStep(a);
  const RunLine* last_b = LastStep(b);
  std::uint64_t end_a = last_a == nullptr ? 0 : last_a->step;
  std::uint64_t end_b = last_b == nullptr ? 0 : last_b->step;
  std::optional<model::FoundCheckpoint> newest_a;
  std::optional<model::FoundCheckpoint> newest_b;
  if (end_a == end_b) {
    newest_a = NewestCheckpoint(a);
    newest_b = NewestCheckpoint(b);
    end_a = static_cast<std::uint64_t>(newest_a->step);
    end_b = static_cast<std::uint64_t>(newest_b->step);
  }
  if (end_a != end_b) {
    return Parting{.evidence = Evidence::kLength,
                   .after_step = after_step,
                   .step = std::min(end_a, end_b) + 1,
                   .stage = {},
                   .sample = {},
                   .text = fmt::format("A ends at step {} and B at step {}; where both tell of "
                                       "steps, they tell the same",
                                       FormatCount(end_a), FormatCount(end_b))};
  }
  const std::vector<std::string> names =
      model::DifferingWeights(newest_a->checkpoint, newest_b->checkpoint);
  if (names.empty()) return {};
  return Parting{.evidence = Evidence::kWeights,
                 .after_step = std::min(after_step, end_a - 1),
                 .step = end_a,
                 .stage = Stage::kTrainStep,
                 .sample = {},
                 .text = fmt::format(
                     "the weights after step {} are not the same: {} and {} more of {}",
                     FormatCount(end_a), names.front(), names.size() - 1,
                     newest_a->checkpoint.weights.size() + newest_a->checkpoint.average.size())};
}

}  // namespace

bool IsOfNoConsequence(std::string_view setting) {
  for (const std::string_view of :
       {"name", "data.path", "data.local_copy", "train.log_every_steps", "train.stall_timeout_s"}) {
    if (setting == of) return true;
  }
  for (const std::string_view section : {"pipeline.", "tracking.", "checkpoint."}) {
    if (setting.starts_with(section)) return true;
  }
  return false;
}

std::string_view EvidenceName(Evidence evidence) {
  constexpr std::array<std::string_view, 6> kNames = {"batches", "lr",         "loss",
                                                      "weights", "evaluation", "length"};
  return kNames[static_cast<std::size_t>(evidence)];
}

RunComparison CompareRuns(const std::filesystem::path& folder_a,
                          const std::filesystem::path& folder_b) {
  const RunRecord a = RunRecord::Read(folder_a);
  const RunRecord b = RunRecord::Read(folder_b);
  RunComparison comparison;
  if (const RunLine* last = LastStep(a)) {
    comparison.steps = last->step;
    comparison.digest = last->Value("digest");
  }
  for (DifferingSetting& setting : DifferingSettings(a.config, b.config)) {
    if (IsOfNoConsequence(setting.key) || NamesHashedFiles(setting.key)) continue;
    comparison.settings.push_back(
        {std::move(setting.key), std::move(setting.before), std::move(setting.now)});
  }
  comparison.environment = DifferingEnvironment(a, b);

  const auto lines_b = ByMoment(b);
  const RunLine* before = nullptr;  // the last step after which both told the same
  for (const auto& [moment, line] : ByMoment(a)) {
    const auto other = lines_b.find(moment);
    if (other == lines_b.end()) continue;
    comparison.parting = CompareMoment(a, b, *line, *other->second, before);
    if (comparison.parting) return comparison;
    if (line->group == "train") before = line;
  }
  comparison.parting = CompareEnds(a, b, before);
  return comparison;
}

}  // namespace millrace::pipeline
