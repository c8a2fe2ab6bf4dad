#include <fmt/format.h>

#include <memory>

#include "pipeline/trainer.h"
#include "tools/command.h"
#include "tools/recipe_options.h"

namespace millrace::tools {

void AddConfig(CLI::App& app, Action& action) {
  auto options = std::make_shared<RecipeOptions>();
  CLI::App* command = app.add_subcommand(
      "config", "check a recipe and print it as it takes effect, defaults included");
  options->AddTo(*command);
  command->footer(
      "Example:\n"
      "  millrace config configs/imagenette-resnet18-64px-cpu.toml --set train.epochs=10");
  command->callback([options, &action] {
    action = [options] {
      const pipeline::Recipe recipe = options->Load();
      pipeline::CheckRecipe(recipe);
      fmt::print("{}", recipe.ToToml());
      return ExitCode::kDone;
    };
  });
}

}  // namespace millrace::tools
