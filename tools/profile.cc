#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "base/file.h"
#include "pipeline/profile/chrome_trace.h"
#include "pipeline/profile/page.h"
#include "pipeline/profile/profile_recipe.h"
#include "pipeline/profile/report.h"
#include "pipeline/trainer.h"
#include "tools/command.h"
#include "tools/recipe_options.h"
#include "tracking/console.h"

namespace millrace::tools {
namespace {

struct Options {
  RecipeOptions recipe;
  std::string out;
  std::string devices = "auto";
  std::string stages = "all";
  double emulated_step_ms = 0;
  double seconds = 10;
  bool json = false;
};

pipeline::ProfiledStep StepOf(const Options& options) {
  if (options.emulated_step_ms > 0) return pipeline::ProfiledStep::kEmulated;
  return options.stages == "feed" ? pipeline::ProfiledStep::kNone : pipeline::ProfiledStep::kReal;
}

ExitCode Run(const Options& options) {
  const pipeline::Recipe recipe = options.recipe.Load();
  const auto out = options.out.empty() ? std::filesystem::path("profiles") / recipe.name
                                       : std::filesystem::path(options.out);
  // As in training; without a step there are no tensors that come and go.
  if (StepOf(options) == pipeline::ProfiledStep::kReal) {
    KeepTensorMemory();
  } else {
    ReturnFreedMemory();
  }
  tracking::RunLog log;
  log.Add(std::make_unique<tracking::Console>());
  const pipeline::ProfileReport report =
      pipeline::ProfileRecipe(recipe,
                              {.dataset = options.recipe.Dataset(recipe),
                               .devices = pipeline::Devices::Parse(options.devices),
                               .step = StepOf(options),
                               .emulated_step_ms = options.emulated_step_ms,
                               .seconds = options.seconds},
                              log);
  log.Flush();
  CreateFolders(out);
  const std::string json = pipeline::ProfileJson(report);
  WriteFileAtomically(out / "profile.json", json);
  WriteFileAtomically(out / "profile.html", pipeline::ProfilePage(report));
  const pipeline::Measurement& main = report.measured.main();
  pipeline::WriteChromeTrace(out / "trace.json", main.calls, main.use.span);
  if (options.json) {
    fmt::print("{}", json);
  } else {
    fmt::print("{}\n{}: the page; {}: for ui.perfetto.dev\n", pipeline::ProfileTable(report),
               (out / "profile.html").string(), (out / "trace.json").string());
  }
  return ExitCode::kDone;
}

}  // namespace

void AddProfile(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "profile", "measure where the time of a recipe goes, and say what limits it");
  options->recipe.AddTo(*command);
  command->add_option("--out", options->out,
                      "the folder of profile.html, profile.json and trace.json (default: "
                      "profiles/<name of the recipe>)");
  command->add_option("--devices", options->devices, kDevicesHelp)->capture_default_str();
  CLI::Option* stages =
      command
          ->add_option("--stages", options->stages,
                       "feed: up to finished batches on the device; all: the train step too")
          ->check(CLI::IsMember({"feed", "all"}))
          ->capture_default_str();
  command
      ->add_option("--emulate-step-ms", options->emulated_step_ms,
                   "instead of the train step let so many milliseconds pass for each batch, as if "
                   "there were a device that takes them")
      ->check(CLI::Range(0.001, 600'000.0))
      ->excludes(stages);
  command->add_option("--seconds", options->seconds, "of each of the measurements")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Three measurements, each after a warm-up: the whole graph, the feed alone, and the train "
      "step "
      "alone on\nbatches in memory. Nothing of a run is touched.\n"
      "Examples:\n"
      "  millrace profile configs/imagenette-resnet18-64px-cpu.toml --data data/imagenette\n"
      "  millrace profile configs/imagenet-resnet50.toml --data data/imagenet --stages feed\n"
      "  millrace profile configs/imagenet-resnet50.toml --data data/imagenet --emulate-step-ms 75 "
      "--devices cpu:4");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
