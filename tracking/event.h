// What a run tells about itself. Every sink gets the same events under the same names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/params.h"

namespace millrace::tracking {

// Numbers of one moment of the run.
struct Scalars {
  enum class Kind : std::uint8_t {
    kResult,  // loss, learning rate, accuracy: equal for equal runs, whatever machine, workers or
              // interruptions
    kTiming,  // rates, waits, memory: differ from run to run
  };
  Kind kind = Kind::kResult;
  std::string group;        // "train", "val", "train_eval", "checkpoint" or "system" (tags.h)
  std::uint64_t step = 0;   // global steps done
  std::uint32_t epoch = 0;  // counted from 1
  std::vector<std::pair<std::string, double>> values;
  std::vector<std::pair<std::string, std::string>> texts;  // digests, for metrics.jsonl alone
};

// How far a long piece of work has come.
struct Progress {
  std::string label;  // "train epoch 2/5"
  std::uint64_t done = 0;
  std::uint64_t total = 0;   // 0: unknown
  std::string unit;          // of done and total: "steps", "images"; "bytes" are shown as MiB, GiB
  std::string detail;        // "loss 1.234  210 images/s"
  double seconds_left = -1;  // estimate [s]; negative: derived from the rate so far
};

// One line for people.
struct Message {
  std::string line;
};

// What the run was started with: one entry a setting, called as in the recipe ("optimizer.lr").
struct Parameters {
  using Value = std::variant<bool, double, std::string>;
  std::vector<std::pair<std::string, Value>> values;
};

// A picture, as every sink wants it: whoever tells it compresses it, once.
struct Picture {
  std::string name;  // also the tag
  std::uint64_t step = 0;
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  std::string png;           // a PNG file's bytes (png.h)
};

// A longer text, Markdown.
struct Note {
  std::string name;
  std::uint64_t step = 0;
  std::string markdown;
};

// How values are distributed: counts[i] of them are in (limits[i - 1], limits[i]].
struct Histogram {
  std::string name;
  std::uint64_t step = 0;
  double min = 0;
  double max = 0;
  double sum = 0;
  double sum_of_squares = 0;
  std::vector<double> limits;  // upper ones, ascending
  std::vector<double> counts;  // as many
};

// Precision and recall of one class over thresholds on its probability. Entry i of each list is for
// the threshold i / (entries - 1); all lists are equally long, at least 2.
struct PrCurve {
  std::string name;
  std::uint64_t step = 0;
  std::vector<double> true_positives;
  std::vector<double> false_positives;
  std::vector<double> true_negatives;
  std::vector<double> false_negatives;
};

// A file of the run that a tracker should keep, too.
struct Artifact {
  std::string name;            // path below the tracker's artifacts
  std::filesystem::path path;  // must stay until the run ends
};

// How the run stands.
struct Status {
  enum class State : std::uint8_t { kRunning, kFinished, kInterrupted, kFailed };
  State state = State::kRunning;
  std::uint64_t step = 0;  // global steps done
  std::string reason;      // of a failure
};

using Event = std::variant<Scalars, Progress, Message, Parameters, Picture, Note, Histogram,
                           PrCurve, Artifact, Status>;

// Receives events, one at a time, on the run log's own thread. Must not throw for reasons outside
// the run's own files, nor wait for anything but them.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void OnScalars(const Scalars&) {}
  virtual void OnProgress(const Progress&) {}
  virtual void OnText(const std::string& /*line*/) {}
  virtual void OnParameters(const Parameters&) {}
  virtual void OnPicture(const Picture&) {}
  virtual void OnNote(const Note&) {}
  virtual void OnHistogram(const Histogram&) {}
  virtual void OnPrCurve(const PrCurve&) {}
  virtual void OnArtifact(const Artifact&) {}
  virtual void OnStatus(const Status&) {}

  // The run has ended, and nothing but lines for people comes any more; they may come at the same
  // time. Called on the thread that ends the run; may wait, a bounded time.
  virtual void Finish() {}
};

// Makes a sink from its entry of tracking.sinks, for the run whose folder is `folder`. Throws Error
// (exit code 2) for its settings. Until the first event the sink touches nothing: the folder may
// not be there yet, and recipes are checked by making their sinks. The first event is
// Status::State::kRunning, with the step from which the run goes on.
using SinkMaker = std::unique_ptr<Sink> (*)(const Params& section,
                                            const std::filesystem::path& folder);

}  // namespace millrace::tracking
