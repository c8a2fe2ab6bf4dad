// A profile as a page for a browser, in one file.
#pragma once

#include <string>

#include "pipeline/profile/report.h"

namespace millrace::pipeline {

// Verdict, rates, stages and a time line of some train steps, with no script and nothing to load.
std::string ProfilePage(const ProfileReport& report);

}  // namespace millrace::pipeline
