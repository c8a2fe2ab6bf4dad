#include "pipeline/prediction_pictures.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "base/process.h"
#include "tracking/prediction_sheet.h"

namespace millrace::pipeline {
namespace {

using stages::Phase;
using tracking::Guess;

}  // namespace

PredictionPictures::PredictionPictures(LoaderStages& loaders, tracking::RunLog& log)
    : loaders_(loaders), log_(log), thread_([this] { Work(); }) {}

PredictionPictures::~PredictionPictures() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void PredictionPictures::Show(const stages::Batch& batch, model::NotableAnswers answers) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({.batch = batch, .answers = std::move(answers)});
  }
  changed_.notify_all();
}

void PredictionPictures::Finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !busy_; });
}

bool PredictionPictures::Stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void PredictionPictures::Work() {
  // Gives way to lanes and workers as far as can be: what they leave of a core it gets, and 1.5 %
  // of one that they keep busy (sched_prio_to_weight of the kernel).
  constexpr int kNice = 19;
  (void)::setpriority(PRIO_PROCESS, static_cast<::id_t>(::gettid()), kNice);
  NameThisThread("pictures");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const Evaluation evaluation = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    Draw(evaluation);
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void PredictionPictures::Draw(const Evaluation& evaluation) {
  const model::NotableAnswers& answers = evaluation.answers;
  try {
    DrawSheet("predictions_with_gt", evaluation.batch, answers.chosen());
    DrawSheet("hardest", evaluation.batch, answers.hardest());
    DrawSheet("most_confused", evaluation.batch, answers.most_confused());
  } catch (const std::exception& error) {
    if (std::exchange(told_, true)) return;
    try {
      log_.Text("pictures of predictions are left out: {}", error.what());
    } catch (const std::exception&) {
      // A log that cannot be written ends the run from elsewhere.
    }
  }
}

void PredictionPictures::DrawSheet(const char* name, const stages::Batch& batch,
                                   const std::vector<model::Answer>& answers) {
  if (answers.empty()) return;
  const std::vector<storage::ClassInfo>& classes =
      loaders_.splits().front().reader.manifest().classes;
  const auto guess = [&classes](std::int64_t label, float probability) {
    if (label < 0) return Guess{};
    return Guess{.name = classes[static_cast<std::size_t>(label)].name,
                 .probability = static_cast<double>(probability)};
  };
  std::vector<tracking::Prediction> predictions;
  for (const model::Answer& answer : answers) {
    if (Stopping()) return;
    const std::uint64_t sample = loaders_.EvaluatedSample(batch.phase, answer.sample);
    predictions.push_back({.sample = sample,
                           .said = guess(answer.first, answer.first_probability),
                           .next = guess(answer.second, answer.second_probability),
                           .truth = guess(answer.label, answer.label_probability),
                           .right = answer.right(),
                           .loss = static_cast<double>(answer.loss),
                           .pixels = loaders_.MakePicture(batch, sample)});
  }
  const stages::Size size = loaders_.PictureSizeOf(batch);
  // Tags as in the Ignite example.
  const char* const of = batch.phase == Phase::kTrainEval ? "training" : "validation";
  log_.Emit(tracking::DrawPredictions(fmt::format("{}: {}", of, name), batch.step,
                                      static_cast<std::uint32_t>(size.width),
                                      static_cast<std::uint32_t>(size.height), predictions));
}

}  // namespace millrace::pipeline
