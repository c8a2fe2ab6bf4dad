// A run's folder while a process works on it: locked, and at the end with a word on how it ended
// and a report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/folder_lock.h"
#include "pipeline/run_folder.h"
#include "pipeline/run_status.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// Writes status.json and report.html; neither ends a run that cannot write them: `log` is told. One
// thread.
class RunKeeper {
 public:
  // `log` must outlive it.
  RunKeeper(RunFolder folder, tracking::RunLog& log) : folder_(std::move(folder)), log_(log) {}

  // Until it is destroyed nobody else writes into the folder, which is there. Throws Error when
  // somebody does.
  void Lock() { lock_.emplace(folder_.root, "another run"); }
  bool locked() const { return lock_.has_value(); }

  // From now on what is in the folder is this run's.
  void Begin(std::uint64_t step, std::uint64_t total_steps);

  // Everything has been told, and no device computes any more. Without a Begin() it does nothing.
  // `step`: global steps done, where that is known.
  void End(RunStatus::State how, std::optional<std::uint64_t> step, const std::string& reason);

 private:
  void WriteStatus();
  void Tell(const std::string& line);

  RunFolder folder_;
  tracking::RunLog& log_;
  std::optional<FolderLock> lock_;
  std::optional<RunStatus> status_;
  std::int64_t began_ns_ = 0;  // of this part
};

}  // namespace millrace::pipeline
