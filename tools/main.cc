// millrace: one native program to convert, train, evaluate and export.

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "base/build_info.h"
#include "base/error.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

int Main(int argc, char** argv) {
  // A full disk is reported by write(), not by a signal that ends the process.
  std::signal(SIGXFSZ, SIG_IGN);

  CLI::App app("Trains image classifiers reproducibly and at the speed of their devices.",
               "millrace");
  app.set_version_flag("--version", fmt::format("{} ({})", BuildVersion(), BuildCommit()));
  app.require_subcommand(1);
  app.footer(
      "First steps:\n"
      "  millrace convert --from IMAGES/train --to DATA --split train\n"
      "  millrace train configs/imagenette-resnet18-64px-cpu.toml --data DATA --out runs/first\n"
      "`millrace VERB --help` explains each verb.");
  Action action;
  AddConvert(app, action);
  AddVerify(app, action);
  AddInspect(app, action);
  AddTrain(app, action);
  AddEval(app, action);
  AddExport(app, action);
  AddConfig(app, action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  try {
    return static_cast<int>(action());
  } catch (const Error& error) {
    std::fprintf(stderr, "millrace: %s\n", error.what());
    return static_cast<int>(error.exit_code());
  } catch (const std::bad_alloc&) {
    std::fprintf(
        stderr,
        "millrace: out of memory; a smaller batch.per_device or fewer pipeline.slots needs less\n");
    return static_cast<int>(ExitCode::kFailed);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace: %s\n", error.what());
    return static_cast<int>(ExitCode::kFailed);
  }
}

}  // namespace
}  // namespace millrace::tools

int main(int argc, char** argv) { return millrace::tools::Main(argc, argv); }
