#include "pipeline/report/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/error.h"
#include "base/file.h"
#include "base/folder_lock.h"
#include "base/format.h"
#include "pipeline/report/page.h"
#include "pipeline/run_folder.h"

namespace millrace::pipeline {
namespace {

// The record, if it belongs to what the run has told: one that has gone back may have left it.
void GatherEvaluation(const RunFolder& files, RunReport* report) {
  const bool is_evaluated = std::any_of(report->run.lines.begin(), report->run.lines.end(),
                                        [](const RunLine& line) { return line.group == "val"; });
  if (!is_evaluated) {
    report->evaluation_fault = "The run has not been evaluated yet.";
    return;
  }
  std::error_code code;
  if (!std::filesystem::is_regular_file(files.evaluation(), code)) {
    report->evaluation_fault = "There is no evaluation.json: millrace eval counts again.";
    return;
  }
  try {
    EvaluationRecord evaluation = EvaluationRecord::Read(files.evaluation());
    const bool is_told = std::any_of(report->run.lines.begin(), report->run.lines.end(),
                                     [&evaluation](const RunLine& line) {
                                       return line.group == "val" && line.step == evaluation.step;
                                     });
    if (is_told) {
      report->evaluation = std::move(evaluation);
    } else {
      report->evaluation_fault =
          fmt::format("The run has gone back behind step {}, of which evaluation.json tells.",
                      FormatCount(evaluation.step));
    }
  } catch (const Error& error) {
    report->evaluation_fault = error.what();
  }
}

}  // namespace

RunReport GatherRunReport(const std::filesystem::path& folder) {
  const RunFolder files{folder};
  RunReport report;
  report.run = RunRecord::Read(folder);
  report.timings = ReadTimings(folder);
  report.status = RunStatus::ReadIfThere(files.status());
  if (report.status) {
    report.worked_s = report.status->worked;
    if (report.status->state == RunStatus::State::kRunning) {
      report.killed = FolderLock::TakeIfFree(folder) != nullptr;
      const std::int64_t until = report.killed ? WrittenAt(files.log()) : std::time(nullptr);
      report.worked_s += std::max<std::int64_t>(0, until - report.status->part_began);
    }
  }
  GatherEvaluation(files, &report);
  if (report.evaluation) report.pictures = MakeSamplePictures(report.run, *report.evaluation);
  return report;
}

WrittenReport WriteRunReport(const std::filesystem::path& folder,
                             const std::filesystem::path& file) {
  const RunReport report = GatherRunReport(folder);
  const std::string page = RunReportPage(report);
  WriteFileAtomically(file, page);
  WrittenReport written{.bytes = page.size(), .pictures = 0};
  for (const auto& [sample, picture] : report.pictures.of_sample) {
    written.pictures += picture.uri.empty() ? 0 : 1;
  }
  return written;
}

}  // namespace millrace::pipeline
