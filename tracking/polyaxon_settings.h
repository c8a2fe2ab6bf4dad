// Where Polyaxon's server is, and which of its runs is ours.
#pragma once

#include <filesystem>
#include <string>

#include "tracking/http.h"

namespace millrace::tracking {

struct PolyaxonSettings {
  enum class Mode : std::uint8_t {
    kOwn,      // we make the run and bring everything to the server
    kManaged,  // Polyaxon started us: it takes files from a folder, and knows how the run stands
    kOffline,  // no server: a folder for `polyaxon ops push`
  };
  Mode mode = Mode::kOwn;
  std::string host;                 // POLYAXON_HOST; empty when offline
  std::string owner;                // of the project
  std::string project;              // POLYAXON_RUN_INSTANCE or POLYAXON_PROJECT
  std::string uuid;                 // POLYAXON_RUN_INSTANCE: go on with this run; empty: make one
  std::filesystem::path artifacts;  // managed: what Polyaxon takes of the run
  HttpOptions http;

  // By the variables that Polyaxon's own client reads, and POLYAXON_PROJECT ("project" or
  // "owner/project"), for which it has none. Throws Error (exit code 2) naming the variable and
  // what is wrong with it.
  static PolyaxonSettings FromEnvironment();
  // The variable that says that there is a Polyaxon to report to; empty: none.
  static std::string VariableThatIsSet();
};

}  // namespace millrace::tracking
