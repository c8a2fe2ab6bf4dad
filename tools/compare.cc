#include <fmt/format.h>

#include <memory>
#include <string>

#include "pipeline/compare_runs.h"
#include "tools/command.h"
#include "tools/run_comparison.h"

namespace millrace::tools {
namespace {

struct Options {
  std::string a;
  std::string b;
  bool json = false;
};

ExitCode Run(const Options& options) {
  const pipeline::RunComparison comparison = pipeline::CompareRuns(options.a, options.b);
  if (options.json) {
    // Paths may hold any bytes; what is not UTF-8 is shown as a replacement character.
    fmt::print("{}\n",
               ToJson(comparison).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    Print(comparison);
  }
  return ExitCodeOf(comparison);
}

}  // namespace

void AddCompare(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "tell whether two runs are the same, and where they part");
  command->add_option("RUN_A", options->a, "a run's folder")->required();
  command->add_option("RUN_B", options->b, "another one")->required();
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Example:\n  millrace compare runs/a runs/b\n"
      "Exit code 0: digests of batches and losses, results and final weights are equal, bit for "
      "bit. 1: they are not; the first step, stage and sample at which they part, behind the "
      "settings that differ.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
