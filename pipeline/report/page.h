// A run's report as an HTML page that needs nothing but itself (html.h).
#pragma once

#include <string>

#include "pipeline/report/run_report.h"

namespace millrace::pipeline {

// The same report gives the same page.
std::string RunReportPage(const RunReport& report);

}  // namespace millrace::pipeline
