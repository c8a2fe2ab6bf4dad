#include <fmt/format.h>

#include <memory>
#include <string>

#include "pipeline/export.h"
#include "pipeline/trainer.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

struct Options {
  std::string from;
  std::string to;
  std::string config;
  std::string data;
};

ExitCode Run(const Options& options) {
  if (options.config.empty()) {
    const auto source = pipeline::ExportWeights(options.from, options.to);
    fmt::print("weights of {} written to {}\n", source.string(), options.to);
    return ExitCode::kDone;
  }
  const pipeline::Recipe recipe = pipeline::Recipe::Load(options.config, {});
  pipeline::CheckRecipe(recipe);
  const std::string data = options.data.empty() ? recipe.data_path : options.data;
  if (data.empty()) FailUsage("no dataset: give --data DIR or data.path in {}", options.config);
  pipeline::ImportWeights(options.from, recipe, data, options.to);
  fmt::print(
      "checkpoint at step 0 written to {}; start with: millrace train {} --data {} --out RUN "
      "--resume {}\n",
      options.to, options.config, data, options.to);
  return ExitCode::kDone;
}

}  // namespace

void AddExport(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "export", "weights of a run as safetensors with torchvision's names, and back");
  command
      ->add_option("FROM", options->from,
                   "a run's folder, a checkpoint, or weights (safetensors or .pth)")
      ->required();
  command->add_option("--to", options->to, "the file to write")->required();
  CLI::Option* config = command->add_option(
      "--into", options->config,
      "write a checkpoint from which `train` with this recipe starts, instead of weights");
  command->add_option("--data", options->data, "with --into: the dataset it will be trained on")
      ->needs(config);
  command->footer(
      "Examples:\n"
      "  millrace export runs/a --to resnet18.safetensors\n"
      "  millrace export resnet18.safetensors --into my.toml --data data/imagenette --to "
      "start.safetensors\n"
      "In Python: model.load_state_dict(safetensors.torch.load_file(\"resnet18.safetensors\"))");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
