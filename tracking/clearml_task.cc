#include "tracking/clearml_task.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/build_info.h"
#include "base/utf8.h"

namespace millrace::tracking {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRecipe = "recipe";
constexpr const char* kSection = "General";
constexpr std::size_t kShortestName = 3;  // that a server takes

std::string Text(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : "";
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Json Parse(const std::string& text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

// JSON's escapes of texts are TOML's; its objects are not.
std::string Toml(const Json& value) {
  if (value.is_array() || value.is_object()) {
    std::string list;
    for (const auto& [key, member] : value.items()) {
      if (!list.empty()) list += ", ";
      if (value.is_object()) list += Dump(Json(key)) + " = ";
      list += Toml(member);
    }
    return value.is_array() ? "[" + list + "]" : "{" + list + "}";
  }
  return Dump(value);
}

std::string TomlOf(const std::string& text, const std::string& type) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_array() || json.is_object()) return Toml(json);
  if (type != "str" && (json.is_number() || json.is_boolean())) return text;
  if (text == "True" || text == "False") return text == "True" ? "true" : "false";
  return Dump(Json(text));
}

}  // namespace

Json ClearmlTask(const ClearmlRun& run) {
  std::string name = IsUtf8(run.name) ? run.name : Printable(run.name);
  if (name.size() < kShortestName) name = "run " + name;
  const std::string script = fmt::format(
      "#!/bin/bash\n"
      "# The run that this task was made by. An agent goes through this for a clone; settings "
      "that\n"
      "# were changed in the clone's section \"General\" win over all others.\n"
      "{}\n",
      IsUtf8(run.command) ? run.command : Printable(run.command));
  return {{"name", name},
          {"type", "training"},
          {"tags", Json::array({"millrace"})},
          {"comment", fmt::format("millrace {}, commit {}", BuildVersion(), BuildCommit())},
          {"script",
           {{"repository", ""},
            {"binary", "/bin/bash"},
            {"entry_point", "millrace.sh"},
            {"working_dir", "."},
            {"diff", script}}}};
}

std::string ClearmlSettingsAtFirst(const Json& task) {
  if (!task.is_object() || !task.contains("configuration")) return "";
  const Json& configuration = task["configuration"];
  return configuration.is_object() && configuration.contains(kRecipe)
             ? Text(configuration[kRecipe], "value")
             : "";
}

std::string ClearmlWithNewSettings(const std::string& at_first, const Json& parameters) {
  Json settings = Parse(at_first);
  bool changed = at_first.empty();
  for (const Json& parameter : parameters) {
    const std::string name = Text(parameter, "name");
    if (Text(parameter, "section") != kSection || settings.contains(name)) continue;
    settings[name] = Text(parameter, "value");
    changed = true;
  }
  return changed ? Dump(settings) : at_first;
}

Json ClearmlRecipeItem(const std::string& at_first) {
  return {{"name", kRecipe},
          {"value", at_first},
          {"type", "json"},
          {"description", "what the recipe set at first; change settings under General"}};
}

std::vector<std::string> ClearmlChangedSettings(const Json& task) {
  const Json at_first = Parse(ClearmlSettingsAtFirst(task));
  std::vector<std::string> changed;
  if (!task.contains("hyperparams") || !task["hyperparams"].is_object() ||
      !task["hyperparams"].contains(kSection)) {
    return changed;
  }
  for (const auto& [key, parameter] : task["hyperparams"][kSection].items()) {
    const std::string name = Text(parameter, "name").empty() ? key : Text(parameter, "name");
    const std::string value = Text(parameter, "value");
    if (at_first.contains(name) && at_first[name] == value) continue;
    changed.push_back(name + "=" + TomlOf(value, Text(parameter, "type")));
  }
  return changed;
}

}  // namespace millrace::tracking
