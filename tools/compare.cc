#include "pipeline/compare_runs.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/format.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string a;
  std::string b;
  bool json = false;
};

ordered_json ToJson(const std::vector<pipeline::DifferingValue>& values) {
  ordered_json list = ordered_json::array();
  for (const auto& value : values) {
    list.push_back({{"name", value.name}, {"a", value.a}, {"b", value.b}});
  }
  return list;
}

ordered_json ToJson(const pipeline::RunComparison& comparison) {
  ordered_json json;
  json["same"] = comparison.same();
  json["steps"] = comparison.steps;
  json["digest"] = comparison.digest;
  json["settings"] = ToJson(comparison.settings);
  json["environment"] = ToJson(comparison.environment);
  if (comparison.same()) return json;
  const pipeline::Parting& parting = *comparison.parting;
  json["evidence"] = pipeline::EvidenceName(parting.evidence);
  json["after_step"] = parting.after_step;
  json["step"] = parting.step;
  if (parting.stage) json["stage"] = pipeline::StageName(*parting.stage);
  if (parting.sample) {
    json["position"] = parting.sample->position;
    json["sample_a"] = parting.sample->sample_a;
    json["sample_b"] = parting.sample->sample_b;
  }
  json["text"] = parting.text;
  return json;
}

void Print(const char* what, const std::vector<pipeline::DifferingValue>& values) {
  for (const auto& value : values) {
    fmt::print("{}{}: {} in A, {} in B\n", what, value.name, value.a, value.b);
  }
}

void Print(const pipeline::RunComparison& comparison) {
  Print("recipe: ", comparison.settings);
  Print("environment: ", comparison.environment);
  if (comparison.same()) {
    fmt::print("the same run: {} steps with digest {}, and the same weights, bit for bit\n",
               FormatCount(comparison.steps), comparison.digest);
    return;
  }
  const pipeline::Parting& parting = *comparison.parting;
  const std::string stage =
      parting.stage ? fmt::format(", stage {}", pipeline::StageName(*parting.stage)) : "";
  fmt::print("not the same run ({}{}): {}\n", pipeline::EvidenceName(parting.evidence), stage,
             parting.text);
}

ExitCode Run(const Options& options) {
  const pipeline::RunComparison comparison = pipeline::CompareRuns(options.a, options.b);
  if (options.json) {
    // Paths may hold any bytes; what is not UTF-8 is shown as a replacement character.
    fmt::print("{}\n",
               ToJson(comparison).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    Print(comparison);
  }
  return comparison.same() ? ExitCode::kDone : ExitCode::kFailed;
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
