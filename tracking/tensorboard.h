// TensorBoard: a run's events as TensorBoard's plugins read them, in the run's folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tracking/event.h"
#include "tracking/event_file.h"

namespace millrace::tracking {

// Where a run goes on.
struct ResumePoint {
  std::uint64_t step = 0;           // global steps done; 0: from the beginning
  bool evaluation_pending = false;  // what the evaluation after `step` yields is still to come
  bool resumed = false;             // at step 0: the files of the folder are this run's
};

// Scalars under the tags and axes of tags.h, pictures, histograms, texts, precision-recall curves,
// and the parameters with the result for the HParams page. Nothing for messages and progress.
//
// An event that comes behind those of later steps counts as made when it comes: a resumed run that
// goes back behind them loses it, too.
//
// What a resumed run goes back behind is cut from the files, so that any reader finds each point
// once; one that has read it already is told by a SessionLog to drop it.
class TensorBoard final : public Sink {
 public:
  // Throws Error naming the file that cannot be made, read or cut.
  TensorBoard(const std::filesystem::path& folder, const ResumePoint& resume);

  void OnScalars(const Scalars& scalars) override;
  void OnParameters(const Parameters& parameters) override;
  void OnPicture(const Picture& picture) override;
  void OnNote(const Note& note) override;
  void OnHistogram(const Histogram& histogram) override;
  void OnPrCurve(const PrCurve& curve) override;
  void OnStatus(const Status& status) override;

 private:
  void Write(tensorboard::Event& event);

  const ResumePoint resume_;
  EventFile file_;
  std::uint64_t position_ = 0;  // of the last event
};

}  // namespace millrace::tracking
