// Progress and messages on the terminal: a bar with rate and time left where there is one, plain
// lines elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "tracking/event.h"

namespace millrace::tracking {

// One progress line. On a terminal it is redrawn in place, at most ten times a second; elsewhere a
// plain line is printed at the start of the work, every ten seconds and at its end. One thread at a
// time.
class ProgressLine {
 public:
  explicit ProgressLine(std::FILE* stream);
  // Ends an unfinished bar's line.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Shows the state; a new label begins a new piece of work.
  void Update(const Progress& progress);
  // Prints a line of text above the bar.
  void Print(const std::string& line);

 private:
  void Erase();
  // What is most worth knowing comes first; `columns` is the room for a bar and all else.
  std::string Describe(const Progress& progress, double seconds, std::size_t columns) const;

  std::FILE* stream_;
  const bool terminal_;
  std::string label_;
  std::int64_t begin_ns_ = 0;     // of the piece of work
  std::uint64_t begin_done_ = 0;  // what was done when it began
  std::int64_t shown_ns_ = 0;     // last time something was shown
  bool drawn_ = false;            // a bar stands on the current line
};

// Prints texts, progress and validation results to standard error.
class Console final : public Sink {
 public:
  Console();
  void OnScalars(const Scalars& scalars) override;
  void OnProgress(const Progress& progress) override;
  void OnText(const std::string& line) override;

 private:
  ProgressLine line_;
};

}  // namespace millrace::tracking
