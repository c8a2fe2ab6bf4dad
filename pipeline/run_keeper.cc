#include "pipeline/run_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <exception>

#include "base/clock.h"
#include "base/file.h"
#include "pipeline/report/run_report.h"

namespace millrace::pipeline {

void RunKeeper::Begin(std::uint64_t step, std::uint64_t total_steps) {
  const std::int64_t last_sign = std::max(WrittenAt(folder_.log()), WrittenAt(folder_.timings()));
  status_ = RunStatus::Begin(RunStatus::ReadIfThere(folder_.status()), step, total_steps,
                             std::time(nullptr), last_sign);
  began_ns_ = NowNs();
  WriteStatus();
}

void RunKeeper::End(RunStatus::State how, std::optional<std::uint64_t> step,
                    const std::string& reason) {
  if (!status_) return;
  status_->End(how, step.value_or(status_->step), reason, std::time(nullptr),
               std::llround(NsToSeconds(NowNs() - began_ns_)));
  WriteStatus();
  try {
    log_.Flush();
  } catch (const std::exception&) {
    // What could not be written is the run's failure already; the report is of what there is.
  }
  try {
    WriteRunReport(folder_.root, folder_.report());
    Tell(fmt::format("report: {}", folder_.report().string()));
  } catch (const std::exception& error) {
    Tell(fmt::format("there is no report of the run: {}", error.what()));
  }
}

void RunKeeper::WriteStatus() {
  try {
    WriteFileAtomically(folder_.status(), status_->ToJson());
  } catch (const std::exception& error) {
    Tell(fmt::format("how the run stands cannot be kept: {}", error.what()));
  }
}

void RunKeeper::Tell(const std::string& line) {
  try {
    log_.Text("{}", line);
  } catch (const std::exception&) {
    // A log that cannot be written ends the run from elsewhere.
  }
}

}  // namespace millrace::pipeline
