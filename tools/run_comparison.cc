#include "tools/run_comparison.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/format.h"

namespace millrace::tools {
namespace {

using nlohmann::ordered_json;

ordered_json ToJson(const std::vector<pipeline::DifferingValue>& values) {
  ordered_json list = ordered_json::array();
  for (const auto& value : values) {
    list.push_back({{"name", value.name}, {"a", value.a}, {"b", value.b}});
  }
  return list;
}

void Print(const char* what, const std::vector<pipeline::DifferingValue>& values) {
  for (const auto& value : values) {
    fmt::print("{}{}: {} in A, {} in B\n", what, value.name, value.a, value.b);
  }
}

}  // namespace

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

}  // namespace millrace::tools
