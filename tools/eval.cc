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
using model::OtherLabelCounts;
using pipeline::EvaluateResult;

struct Options {
  RecipeOptions recipe;
  std::string weights;
  std::string labels;
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

nlohmann::ordered_json ToJson(const OtherLabelCounts& counts, const std::string& file) {
  nlohmann::ordered_json json;
  json["file"] = file;
  json["samples"] = counts.samples;
  json["left_out"] = counts.left_out;
  AddRate(json, "top1", counts.top1, counts.samples);
  AddRate(json, "top5", counts.top5, counts.samples);
  AddRate(json, "own_top1", counts.own_top1, counts.samples);
  AddRate(json, "own_top5", counts.own_top5, counts.samples);
  AddRate(json, "own_among", counts.own_among, counts.samples);
  return json;
}

void PrintJson(const EvaluateResult& result, const std::vector<storage::ClassInfo>& classes,
               const std::string& labels) {
  const ClassificationCounts& counts = result.counts;
  nlohmann::ordered_json json;
  json["samples"] = counts.samples();
  AddRate(json, "top1", counts.top1(), counts.samples());
  AddRate(json, "top5", counts.top5(), counts.samples());
  json["loss"] = counts.MeanLoss();
  for (const auto& [name, value] : result.metrics) json["metrics"][name] = value;
  if (result.by_other_labels) json["labels"] = ToJson(*result.by_other_labels, labels);
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
  // A path may hold any bytes; what is not UTF-8 is shown as a replacement character.
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Print(const OtherLabelCounts& counts, const std::string& file) {
  fmt::print("by the labels of {}: {} images, {} left out\n", file, counts.samples,
             counts.left_out);
  fmt::print("  their labels       top-1 {}  top-5 {}\n", RateText(counts.top1, counts.samples),
             RateText(counts.top5, counts.samples));
  fmt::print("  the dataset's own  top-1 {}  top-5 {}; {:.2f} % of them are among theirs\n",
             RateText(counts.own_top1, counts.samples), RateText(counts.own_top5, counts.samples),
             100 * RateOf(counts.own_among, counts.samples));
}

void PrintTable(const EvaluateResult& result, const std::vector<storage::ClassInfo>& classes,
                const std::string& labels) {
  const ClassificationCounts& counts = result.counts;
  fmt::print("{} images  top-1 {}  top-5 {}  loss {:.4f}  (brackets: 95 % intervals)\n",
             counts.samples(), RateText(counts.top1(), counts.samples()),
             RateText(counts.top5(), counts.samples()), counts.MeanLoss());
  for (const auto& [name, value] : result.metrics) fmt::print("{} {:.6g}\n", name, value);
  if (result.by_other_labels) Print(*result.by_other_labels, labels);
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
  const std::optional<EvaluateResult> result =
      pipeline::Evaluate(recipe,
                         {.dataset = dataset,
                          .weights = options.weights,
                          .labels = options.labels,
                          .devices = pipeline::Devices::Parse(options.devices),
                          .placement = pipeline::ThisPlacement(),
                          .interrupt = &CatchInterrupts()},
                         log);
  log.Flush();
  if (!result) return ExitCode::kDone;  // the first process tells
  const storage::Manifest manifest = storage::ReadManifest(dataset);
  if (options.json) {
    PrintJson(*result, manifest.classes, options.labels);
  } else {
    PrintTable(*result, manifest.classes, options.labels);
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
      ->add_option("--weights", options->weights, "weights (safetensors or .pth) or a checkpoint")
      ->required();
  command->add_option(
      "--labels", options->labels,
      "count by these labels, too: a real.json (arXiv:2006.07159), a JSON object of paths with "
      "labels, or lines \"path label[ label...]\"; labels are class ids or numbers");
  command->add_option("--devices", options->devices, kDevicesHelp)->capture_default_str();
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Examples:\n"
      "  millrace eval configs/imagenette-resnet18-64px-cpu.toml --data data/imagenette \\\n"
      "      --weights runs/a/checkpoints/step-00000735.safetensors\n"
      "  millrace eval configs/imagenet-resnet50.toml --data data/imagenet --labels real.json \\\n"
      "      --weights runs/b/best/step-00112590.safetensors");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
