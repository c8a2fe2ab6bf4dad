#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/wilson_interval.h"
#include "pipeline/trainer.h"
#include "storage/manifest.h"
#include "tools/command.h"
#include "tools/recipe_options.h"
#include "tracking/console.h"

namespace millrace::tools {
namespace {

using model::ClassificationCounts;

struct Options {
  RecipeOptions recipe;
  std::string weights;
  std::string devices = "auto";
  bool json = false;
};

std::string ClassLabel(const storage::ClassInfo& info) {
  return info.name == info.id ? info.id : fmt::format("{} ({})", info.name, info.id);
}

double RateOf(std::int64_t hits, std::int64_t samples) {
  return samples == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(samples);
}

double ClassTop1(const ClassificationCounts& counts, std::int64_t label) {
  return RateOf(counts.ClassRight(label), counts.ClassSamples(label));
}

// Of a rate and its interval, under names that begin with `name`.
void AddRate(nlohmann::ordered_json& json, const std::string& name, std::int64_t hits,
             std::int64_t samples) {
  const Interval interval = WilsonInterval(hits, samples);
  json[name] = RateOf(hits, samples);
  json[name + "_interval"] = {interval.low, interval.high};
  json[name + "_count"] = hits;
}

// "0.7613 [0.7575, 0.7650]"
std::string RateText(std::int64_t hits, std::int64_t samples) {
  const Interval interval = WilsonInterval(hits, samples);
  return fmt::format("{:.4f} [{:.4f}, {:.4f}]", RateOf(hits, samples), interval.low, interval.high);
}

void PrintJson(const ClassificationCounts& counts, const std::vector<storage::ClassInfo>& classes) {
  nlohmann::ordered_json json;
  json["samples"] = counts.samples();
  AddRate(json, "top1", counts.top1(), counts.samples());
  AddRate(json, "top5", counts.top5(), counts.samples());
  json["loss"] = counts.MeanLoss();
  for (std::int64_t label = 0; label < counts.classes(); ++label) {
    nlohmann::ordered_json row;
    row["id"] = classes[static_cast<std::size_t>(label)].id;
    row["name"] = classes[static_cast<std::size_t>(label)].name;
    row["samples"] = counts.ClassSamples(label);
    row["top1"] = ClassTop1(counts, label);
    for (std::int64_t answer = 0; answer < counts.classes(); ++answer) {
      row["answers"].push_back(counts.Confusion(label, answer));
    }
    json["classes"].push_back(std::move(row));
  }
  fmt::print("{}\n", json.dump(2));
}

void PrintTable(const ClassificationCounts& counts,
                const std::vector<storage::ClassInfo>& classes) {
  fmt::print("{} images  top-1 {}  top-5 {}  loss {:.4f}  (brackets: 95 % intervals)\n",
             counts.samples(), RateText(counts.top1(), counts.samples()),
             RateText(counts.top5(), counts.samples()), counts.MeanLoss());
  std::vector<std::int64_t> order;
  for (std::int64_t label = 0; label < counts.classes(); ++label) order.push_back(label);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return ClassTop1(counts, a) < ClassTop1(counts, b);
  });
  constexpr std::size_t kRows = 20;
  const std::size_t rows = std::min(kRows, order.size());
  fmt::print("\n{:>7} {:>8}  class{}\n", "top-1", "images",
             order.size() > rows ? fmt::format(" (the {} hardest of {})", rows, order.size()) : "");
  for (std::size_t i = 0; i < rows; ++i) {
    fmt::print("{:>7.4f} {:>8}  {}\n", ClassTop1(counts, order[i]), counts.ClassSamples(order[i]),
               ClassLabel(classes[static_cast<std::size_t>(order[i])]));
  }
  const std::vector<ClassificationCounts::Mistake> mistakes = counts.WorstMistakes(10);
  if (mistakes.empty()) return;
  fmt::print("\n{:>7}  most frequent mistakes\n", "images");
  for (const auto& mistake : mistakes) {
    fmt::print("{:>7}  {} taken for {}\n", mistake.count,
               ClassLabel(classes[static_cast<std::size_t>(mistake.label)]),
               ClassLabel(classes[static_cast<std::size_t>(mistake.answer)]));
  }
}

ExitCode Run(const Options& options) {
  KeepTensorMemory();
  const pipeline::Recipe recipe = options.recipe.Load();
  pipeline::CheckRecipe(recipe);
  const std::filesystem::path dataset = options.recipe.Dataset(recipe);
  tracking::RunLog log;
  log.Add(std::make_unique<tracking::Console>());
  const std::optional<ClassificationCounts> counts =
      pipeline::Evaluate(recipe,
                         {.dataset = dataset,
                          .weights = options.weights,
                          .devices = pipeline::Devices::Parse(options.devices),
                          .placement = pipeline::ThisPlacement(),
                          .interrupt = &CatchInterrupts()},
                         log);
  log.Flush();
  if (!counts) return ExitCode::kDone;  // the first process tells
  const storage::Manifest manifest = storage::ReadManifest(dataset);
  if (options.json) {
    PrintJson(*counts, manifest.classes);
  } else {
    PrintTable(*counts, manifest.classes);
  }
  return ExitCode::kDone;
}

}  // namespace

void AddEval(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("eval", "exact accuracy of weights on the validation split");
  options->recipe.AddTo(*command);
  command
      ->add_option("--weights", options->weights, "exported weights or a checkpoint (safetensors)")
      ->required();
  command->add_option("--devices", options->devices, kDevicesHelp)->capture_default_str();
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Example:\n"
      "  millrace eval configs/imagenette-resnet18-64px-cpu.toml --data data/imagenette \\\n"
      "      --weights runs/a/checkpoints/step-00000735.safetensors");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
