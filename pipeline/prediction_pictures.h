// Pictures of what a network says of samples, drawn beside the training.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "model/notable_answers.h"
#include "pipeline/loader_stages.h"
#include "stages/batch.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// Numbers are all that an evaluation hands over: a thread of low priority makes the samples' pixels
// again, from the dataset, as the evaluation had them, whatever rank or device it was on. It draws
// and compresses, too, and tells the log: `validation: predictions_with_gt` (the samples that are
// the same every time), `validation: hardest`, `validation: most_confused`, and the same of
// evaluated training samples under `training: ...`. A picture that cannot be made is told of and
// left out; no failure here ends the run. One thread at a time.
class PredictionPictures {
 public:
  // Both must outlive it.
  PredictionPictures(LoaderStages& loaders, tracking::RunLog& log);
  // Ends with the picture under way; Finish() ends in order.
  ~PredictionPictures();
  PredictionPictures(const PredictionPictures&) = delete;
  PredictionPictures& operator=(const PredictionPictures&) = delete;

  // What an evaluation found, of which `batch` is any. Returns at once. REQUIRES: `loaders` has its
  // samples
  void Show(const stages::Batch& batch, model::NotableAnswers answers);

  // Returns when the log has been told everything.
  void Finish();

 private:
  struct Evaluation {
    stages::Batch batch;  // any of it
    model::NotableAnswers answers;
  };

  void Work();
  void Draw(const Evaluation& evaluation);
  void DrawSheet(const char* name, const stages::Batch& batch,
                 const std::vector<model::Answer>& answers);
  bool Stopping();

  LoaderStages& loaders_;
  tracking::RunLog& log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Evaluation> waiting_;  // guarded by mutex_, as are the flags
  bool busy_ = false;
  bool stopping_ = false;
  bool told_ = false;   // of a failure; the thread's own
  std::thread thread_;  // last: uses the others
};

}  // namespace millrace::pipeline
