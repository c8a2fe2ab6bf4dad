#include "pipeline/record_evaluation.h"

#include <vector>

namespace millrace::pipeline {
namespace {

using Answer = EvaluationRecord::Answer;
using Guess = EvaluationRecord::Guess;

std::uint64_t Count(std::int64_t number) { return static_cast<std::uint64_t>(number); }

Guess GuessOf(std::int64_t label, float probability) {
  return {.label = Count(label), .probability = static_cast<double>(probability)};
}

std::vector<Answer> AnswersOf(const std::vector<model::Answer>& answers,
                              const LoaderStages& loaders) {
  std::vector<Answer> list;
  for (const model::Answer& answer : answers) {
    Answer& told = list.emplace_back(
        Answer{.sample = loaders.EvaluatedSample(stages::Phase::kEvaluate, answer.sample),
               .truth = GuessOf(answer.label, answer.label_probability),
               .said = {},
               .next = {},
               .loss = static_cast<double>(answer.loss)});
    if (answer.first >= 0) told.said = GuessOf(answer.first, answer.first_probability);
    if (answer.second >= 0) told.next = GuessOf(answer.second, answer.second_probability);
  }
  return list;
}

}  // namespace

EvaluationRecord RecordEvaluation(const model::EvaluationResult& result,
                                  const LoaderStages& loaders, const std::string& split,
                                  std::uint64_t step, std::uint32_t epoch) {
  const model::ClassificationCounts& counts = result.counts();
  EvaluationRecord record{.step = step,
                          .epoch = epoch,
                          .split = split,
                          .samples = Count(counts.samples()),
                          .top1 = Count(counts.top1()),
                          .top5 = Count(counts.top5()),
                          .unanswered = Count(counts.unanswered()),
                          .classes = {},
                          .mistakes = {},
                          .hardest = AnswersOf(result.notable().hardest(), loaders),
                          .most_confused = AnswersOf(result.notable().most_confused(), loaders)};
  for (std::int64_t label = 0; label < counts.classes(); ++label) {
    const storage::ClassInfo& info = loaders.val()->manifest().classes[Count(label)];
    record.classes.push_back({.id = info.id,
                              .name = info.name,
                              .samples = Count(counts.ClassSamples(label)),
                              .right = Count(counts.ClassRight(label))});
  }
  for (const auto& [label, answer, count] : counts.WorstMistakes(kMostMistakes)) {
    record.mistakes.push_back({Count(label), Count(answer), Count(count)});
  }
  return record;
}

}  // namespace millrace::pipeline
