// What a run tells about itself. Every sink gets the same events under the same names.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace::tracking {

// Numbers of one moment of the run.
struct Scalars {
  enum class Kind : std::uint8_t {
    kResult,  // loss, learning rate, accuracy: equal for equal runs, whatever machine, workers or
              // interruptions
    kTiming,  // rates, waits, memory: differ from run to run
  };
  Kind kind = Kind::kResult;
  std::string group;        // "train" or "val"; the tag is "<group>/<name>"
  std::uint64_t step = 0;   // global steps done
  std::uint32_t epoch = 0;  // counted from 1
  std::vector<std::pair<std::string, double>> values;
  std::vector<std::pair<std::string, std::string>> texts;  // digests
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

// Receives events, one at a time. Must not throw for reasons outside the program's own files.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void OnScalars(const Scalars&) {}
  virtual void OnProgress(const Progress&) {}
  virtual void OnText(const std::string& /*line*/) {}
};

}  // namespace millrace::tracking
