#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "base/folder_lock.h"
#include "tools/command.h"
#include "tracking/system.h"

namespace millrace::tools {
namespace {

ExitCode Run(const std::string& run) {
  if (!std::filesystem::is_directory(run)) FailUsage("{} is not a run's folder", run);
  const FolderLock lock(run, "another run");
  const auto tell = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  if (!tracking::DeliverRest(run, tell)) return ExitCode::kFailed;
  fmt::print("everything that {} told is delivered\n", run);
  return ExitCode::kDone;
}

}  // namespace

void AddSync(CLI::App& app, Action& action) {
  auto run = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "sync", "deliver to the remote tracker what a run could not, for the server was away");
  command->add_option("RUN", *run, "the run's folder")->required();
  command->footer(
      "The environment must lead to the same server as it did for the run (MLFLOW_TRACKING_URI, "
      "POLYAXON_HOST, ...).\n"
      "Example:\n"
      "  millrace sync runs/a");
  command->callback([run, &action] { action = [run] { return Run(*run); }; });
}

}  // namespace millrace::tools
