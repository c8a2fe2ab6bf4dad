// millrace: one native program to convert, train, evaluate and export.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/build_info.h"
#include "base/error.h"
#include "base/suggest.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

// What is wrong with a command line, as one line with a way on.
std::string Explain(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<CLI::App*> verbs = app.get_subcommands();  // that were named
  if (verbs.empty()) {
    const std::vector<std::string> words = app.remaining();
    std::vector<std::string> known;
    for (const CLI::App* verb : app.get_subcommands({})) known.push_back(verb->get_name());
    if (words.empty()) {
      return fmt::format("say what to do: {}; `millrace --help` explains", fmt::join(known, ", "));
    }
    return fmt::format("there is no verb \"{}\"; there are {}{}", words.front(),
                       fmt::join(known, ", "), Suggest(words.front(), known));
  }
  const CLI::App& verb = *verbs.front();
  std::string text = error.what();
  std::vector<std::string> unknown = verb.remaining();
  // CLI11 counts the mark behind which launch's verb stands among them.
  std::erase(unknown, "--");
  if (!unknown.empty()) {
    std::vector<std::string> known;
    for (const CLI::Option* option : verb.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    text =
        fmt::format("\"{}\" is not known here{}", unknown.front(), Suggest(unknown.front(), known));
  }
  return fmt::format("{}: {}; `millrace {} --help` explains", verb.get_name(), text,
                     verb.get_name());
}

int Main(int argc, char** argv) {
  // A full disk is reported by write(), not by a signal that ends the process.
  std::signal(SIGXFSZ, SIG_IGN);
  ExplainBusErrors();

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
  AddProfile(app, action);
  AddEval(app, action);
  AddExport(app, action);
  AddConfig(app, action);
  AddCompare(app, action);
  AddReport(app, action);
  AddSync(app, action);
  AddSynth(app, action);
  AddLaunch(app, action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // a request for help or the version
    std::fprintf(stderr, "millrace: %s\n", Explain(app, error).c_str());
    return static_cast<int>(ExitCode::kUsage);
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
