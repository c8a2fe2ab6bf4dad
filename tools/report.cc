#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "base/format.h"
#include "pipeline/report/run_report.h"
#include "pipeline/run_folder.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

struct Options {
  std::string run;
  std::string out;
};

ExitCode Run(const Options& options) {
  const std::filesystem::path file = options.out.empty() ? pipeline::RunFolder{options.run}.report()
                                                         : std::filesystem::path(options.out);
  const pipeline::WrittenReport written = pipeline::WriteRunReport(options.run, file);
  fmt::print("{}: a page of {} with {} pictures; open it in a browser\n", file.string(),
             FormatBytes(written.bytes), FormatCount(written.pictures));
  return ExitCode::kDone;
}

}  // namespace

void AddReport(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "report", "a run on one page: figures, curves, classes, hardest samples, recipe");
  command->add_option("RUN", options->run, "the run's folder; the run may be under way")
      ->required();
  command->add_option("--out", options->out, "the page (default: report.html in the folder)");
  command->footer(
      "train writes the page when it ends; this writes it anew.\n"
      "Examples:\n"
      "  millrace report runs/a\n"
      "  millrace report runs/a --out a.html");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
