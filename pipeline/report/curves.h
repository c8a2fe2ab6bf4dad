// The charts of a run's report.
#pragma once

#include <string>

#include "pipeline/report/run_report.h"

namespace millrace::pipeline {

// Loss, accuracy, metrics, learning rate, pace, waits and memory over steps, as HTML.
std::string ReportCurves(const RunReport& report);

}  // namespace millrace::pipeline
