#include "pipeline/run_parameters.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace millrace::pipeline {
namespace {

using nlohmann::json;

tracking::Parameters::Value ValueOf(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  return value.dump();
}

void Collect(const json& section, const std::string& prefix, tracking::Parameters& parameters) {
  for (const auto& [key, value] : section.items()) {
    if (value.is_object()) {
      Collect(value, prefix + key + ".", parameters);
    } else {
      parameters.values.emplace_back(prefix + key, ValueOf(value));
    }
  }
}

}  // namespace

tracking::Parameters RunParameters(const Recipe& recipe) {
  tracking::Parameters parameters;
  const json settings = json::parse(recipe.params.EffectiveJson());
  Collect(settings, "", parameters);
  std::sort(parameters.values.begin(), parameters.values.end());
  return parameters;
}

}  // namespace millrace::pipeline
