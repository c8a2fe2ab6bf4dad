#include "pipeline/recipe.h"

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostRepeats = 1 << 12;  // epochs times it are counted in 32 bits

toml::table ParseToml(const std::filesystem::path& path) {
  const std::string text = ReadFile(path);
  try {
    return toml::parse(text, path.string());
  } catch (const toml::parse_error& error) {
    FailUsage("{}:{}:{}: {}", path.string(), error.source().begin.line, error.source().begin.column,
              error.description());
  }
}

// Values of `later` win; sections are merged, everything else is replaced.
void MergeInto(toml::table& table, const toml::table& later) {
  for (const auto& [key, value] : later) {
    toml::node* present = table.get(key);
    if (present != nullptr && present->is_table() && value.is_table()) {
      MergeInto(*present->as_table(), *value.as_table());
    } else {
      value.visit([&, &key = key](const auto& concrete) { table.insert_or_assign(key, concrete); });
    }
  }
}

// What names a file beside the recipe that says it, plugins aside.
constexpr std::array<std::pair<const char*, const char*>, 2> kFiles = {
    {{"model", "torchscript"}, {"model", "weights"}}};

void ResolveFile(toml::node* name, const std::filesystem::path& folder) {
  toml::value<std::string>* file = name == nullptr ? nullptr : name->as_string();
  if (file == nullptr || file->get().empty()) return;
  *file = std::filesystem::absolute(folder / file->get()).lexically_normal().string();
}

// Makes the paths of files absolute, which are relative to `folder`: a recipe can then be extended,
// kept and read from elsewhere.
void ResolveFiles(toml::table& table, const std::filesystem::path& folder) {
  for (const auto& [section, key] : kFiles) ResolveFile(table[section][key].node(), folder);
  toml::array* plugins = table["plugins"].as_array();
  if (plugins == nullptr) return;
  for (toml::node& entry : *plugins) {
    ResolveFile(entry.is_table() ? entry.as_table()->get("file") : &entry, folder);
  }
}

// `children` are the recipes that led here, each extending the next one.
toml::table LoadWithExtends(const std::filesystem::path& path,
                            std::vector<std::filesystem::path> children = {}) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(path, code)) {
    FailUsage("{}there is no recipe {}",
              children.empty() ? "" : children.back().string() + ": extends: ", path.string());
  }
  std::string chain;
  for (const auto& child : children) {
    chain += child.string() + " -> ";
    if (child == path || std::filesystem::equivalent(child, path, code)) {
      for (auto later = std::find(children.begin(), children.end(), child) + 1;
           later != children.end(); ++later) {
        chain += later->string() + " -> ";
      }
      FailUsage("{}: extends: the recipes extend one another in a circle: {}{}",
                children.back().string(), chain, path.string());
    }
  }
  toml::table table = ParseToml(path);
  ResolveFiles(table, path.parent_path());
  const toml::node* extends = table.get("extends");
  if (extends == nullptr) return table;
  const auto parent = extends->value<std::string>();
  if (!parent) FailUsage("{}: extends: must be the path of a recipe in quotes", path.string());
  children.push_back(path);
  toml::table base = LoadWithExtends(path.parent_path() / *parent, std::move(children));
  table.erase("extends");
  MergeInto(base, table);
  return base;
}

// The value of "key=value" as TOML reads it; a bare word is a text.
toml::table ParseAssignment(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    FailUsage("--set {}: write section.key=value", text);
  }
  toml::table table;
  try {
    table = toml::parse(text.substr(0, equals) + " = ''");
  } catch (const toml::parse_error& error) {
    FailUsage("--set {}: {}", text, error.description());
  }
  // Empty when the key is a comment.
  if (table.empty()) FailUsage("--set {}: write section.key=value", text);
  toml::table* section = &table;
  while (section->begin()->second.is_table()) section = section->begin()->second.as_table();
  const std::string key(section->begin()->first.str());
  const std::string value = text.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    parsed.insert("value", value);
    try {
      (void)Json(value).dump();
    } catch (const Json::exception&) {
      FailUsage("--set {}: the value is not UTF-8 text", text);
    }
  }
  if (parsed.size() != 1) FailUsage("--set {}: write one setting at a time", text);
  parsed.get("value")->visit(
      [&](const auto& concrete) { section->insert_or_assign(key, concrete); });
  return table;
}

// `where` and `separator` stand before the names of settings in messages.
Json ToJson(const toml::node& node, const std::string& where, const char* separator = ".") {
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) {
      object[std::string(key.str())] = ToJson(value, where + separator + std::string(key.str()));
    }
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const auto& value : *array) {
      list.push_back(ToJson(value, fmt::format("{}[{}]", where, list.size())));
    }
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) {
    if (!std::isfinite(number->get())) {
      FailUsage("{}: is {}; it must be a finite number", where, number->get());
    }
    return number->get();
  }
  if (const auto* flag = node.as_boolean()) return flag->get();
  FailUsage("{}: dates and times have no meaning in a recipe", where);
}

// Numbers in their shortest form that reads back as the same value (toml++ writes all 17 digits).
std::string ToTomlValue(const Json& value) {
  if (value.is_number_float()) {
    const std::string text = fmt::format("{}", value.get<double>());
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  if (value.is_array()) {
    std::string text = "[";
    for (std::size_t i = 0; i < value.size(); ++i)
      text += (i == 0 ? "" : ", ") + ToTomlValue(value[i]);
    return text + "]";
  }
  if (value.is_object()) {
    std::string text;
    for (const auto& [key, entry] : value.items()) {
      text += (text.empty() ? "{ " : ", ") + key + " = " + ToTomlValue(entry);
    }
    return text + " }";
  }
  return value.dump();  // texts, whole numbers and flags are written alike in JSON and TOML
}

// Every setting below `section` with its value as TOML, under its dotted name. Lists are one value.
void CollectSettings(const Json& section, const std::string& name,
                     std::map<std::string, std::string>* found) {
  for (const auto& [key, value] : section.items()) {
    const std::string path = name.empty() ? key : name + "." + key;
    if (value.is_object()) {
      CollectSettings(value, path, found);
    } else {
      found->emplace(path, ToTomlValue(value));
    }
  }
}

bool IsListOfSections(const Json& value) {
  return value.is_array() && !value.empty() && value.front().is_object();
}

// Settings first, then lists of sections with a line per entry, then sub-sections under their
// headings.
void AppendSection(const Json& section, const std::string& name, std::string& text) {
  for (const auto& [key, value] : section.items()) {
    if (!value.is_object() && !IsListOfSections(value))
      text += key + " = " + ToTomlValue(value) + "\n";
  }
  for (const auto& [key, value] : section.items()) {
    if (!IsListOfSections(value)) continue;
    text += key + " = [\n";
    for (const Json& entry : value) text += "  " + ToTomlValue(entry) + ",\n";
    text += "]\n";
  }
  for (const auto& [key, value] : section.items()) {
    if (!value.is_object()) continue;
    const std::string path = name.empty() ? key : name + "." + key;
    text += "\n[" + path + "]\n";
    AppendSection(value, path, text);
  }
}

// [data.train_eval] has the operations of [data.train] where it lists none of its own.
void CompleteTrainEval(toml::table& table) {
  auto* const data = table.get_as<toml::table>("data");
  if (data == nullptr) return;
  auto* const train_eval = data->get_as<toml::table>("train_eval");
  const auto* const ops = (*data)["train"]["ops"].as_array();
  if (train_eval == nullptr || ops == nullptr || train_eval->contains("ops")) return;
  train_eval->insert("ops", *ops);
}

LoaderRecipe ReadLoader(const Params& section, Shuffle default_shuffle,
                        std::string_view default_split) {
  LoaderRecipe loader;
  loader.section = section;
  loader.split = section.Text("split", std::string(default_split));
  const std::string shuffle = section.Choice("shuffle", {"full", "blocks", "none"},
                                             default_shuffle == Shuffle::kFull ? "full" : "none");
  loader.shuffle = shuffle == "full"     ? Shuffle::kFull
                   : shuffle == "blocks" ? Shuffle::kBlocks
                                         : Shuffle::kNone;
  loader.limit = static_cast<std::uint64_t>(
      section.IntegerIn("limit", 0, std::numeric_limits<std::int64_t>::max(), 0));
  if (loader.limit > 0 && loader.shuffle == Shuffle::kBlocks) {
    section.Blame("limit", "leaves no blocks of neighbours; use shuffle = \"full\", or remove it");
  }
  loader.ops = section.Sections("ops");
  if (loader.ops.empty()) {
    section.Blame(
        "ops",
        "is missing; it must list at least one operation that gives all pictures one size, such "
        "as { op = \"random_resized_crop\", size = 224 }");
  }
  return loader;
}

LoaderRecipe ReadEvaluationLoader(const Params& section, std::string_view default_split) {
  LoaderRecipe loader = ReadLoader(section, Shuffle::kNone, default_split);
  if (loader.shuffle != Shuffle::kNone) {
    section.Blame("shuffle", "has no effect: evaluation counts every sample once, in any order");
  }
  return loader;
}

std::array<float, 3> ReadChannels(const Params& section, std::string_view key,
                                  std::array<double, 3> fallback) {
  const std::vector<double> values =
      section.Numbers(key, {{fallback[0], fallback[1], fallback[2]}});
  if (values.size() != 3) section.Blame(key, "must have three numbers, for red, green and blue");
  return {static_cast<float>(values[0]), static_cast<float>(values[1]),
          static_cast<float>(values[2])};
}

// A whole number, or nothing for "auto".
std::optional<std::uint32_t> NumberOrAuto(const Params& section, std::string_view key,
                                          std::int64_t least, std::int64_t most) {
  // Asked for as a text first, because a recipe may hold either.
  const Json value = Json::parse(section.RawJson(key, "\"auto\""));
  if (value == "auto") return {};
  if (!value.is_number_integer()) section.Blame(key, "must be \"auto\" or a whole number");
  return static_cast<std::uint32_t>(section.IntegerIn(key, least, most));
}

}  // namespace

Recipe Recipe::Load(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  toml::table table = LoadWithExtends(path);
  for (const std::string& text : overrides) {
    toml::table assignment = ParseAssignment(text);
    ResolveFiles(assignment, "");
    MergeInto(table, assignment);
  }
  CompleteTrainEval(table);

  constexpr std::int64_t kMax32 = std::numeric_limits<std::int32_t>::max();
  constexpr std::int64_t kMax64 = std::numeric_limits<std::int64_t>::max();
  const std::string file = path.string();
  Recipe recipe;
  Json settings = ToJson(table, file, ": ");
  const std::string where = file + ": plugins";
  if (settings.contains("plugins")) recipe.plugins = PinPlugins(&settings["plugins"], where);
  recipe.params = Params::FromJson(settings.dump(), file);
  const Params& root = recipe.params;
  root.RawJson("plugins", "[]");
  recipe.known = LoadPlugins(recipe.plugins, where);
  recipe.name = root.Text("name", path.stem().string());
  recipe.seed = static_cast<std::uint64_t>(root.IntegerIn("seed", 0, kMax64, 0));
  recipe.deterministic = root.Flag("deterministic", false);

  const Params data = root.Section("data");
  recipe.data_path = data.Text("path", "");
  recipe.local_copy = data.Text("local_copy", "");
  const Params normalize = data.Section("normalize");
  // ImageNet's channel statistics, as every ImageNet recipe uses them.
  recipe.mean = ReadChannels(normalize, "mean", {0.485, 0.456, 0.406});
  recipe.std = ReadChannels(normalize, "std", {0.229, 0.224, 0.225});
  for (const float deviation : recipe.std) {
    if (!(deviation > 0)) normalize.Blame("std", "must be positive in every channel");
  }
  recipe.train = ReadLoader(data.Section("train"), Shuffle::kFull, "train");
  recipe.train.mix = recipe.train.section.Sections("mix");
  recipe.train.repeats =
      static_cast<std::uint32_t>(recipe.train.section.IntegerIn("repeats", 1, kMostRepeats, 1));
  if (recipe.train.repeats > 1 && recipe.train.shuffle == Shuffle::kNone) {
    recipe.train.section.Blame(
        "repeats",
        fmt::format("shows a 1/{} of the samples in each epoch, always the same ones with shuffle "
                    "= \"none\"; use another, or remove it",
                    recipe.train.repeats));
  }
  if (recipe.train.section.Has("progressive")) {
    recipe.train.progressive = ReadProgressive(recipe.train.section.Section("progressive"));
  }
  if (data.Has("val")) recipe.val = ReadEvaluationLoader(data.Section("val"), "val");
  if (data.Has("train_eval")) {
    if (!recipe.val) {
      data.Blame("train_eval",
                 "has no effect: it is evaluated with each validation, and there is no [data.val]");
    }
    recipe.train_eval = ReadEvaluationLoader(data.Section("train_eval"), recipe.train.split);
  }

  recipe.decode_mode = stages::ReadDecodeMode(root.Section("decode"));
  recipe.decode_engine = stages::ReadDecodeEngine(root.Section("decode"));
  recipe.decode_device = stages::ReadDecodeDevice(root.Section("decode"));

  const Params batch = root.Section("batch");
  recipe.per_device = static_cast<std::uint32_t>(batch.IntegerIn("per_device", 0, 1 << 20, 0));
  recipe.global_batch = static_cast<std::uint32_t>(batch.IntegerIn("global", 0, 1 << 24, 0));
  if (recipe.per_device == 0 && recipe.global_batch == 0) {
    batch.Blame("per_device", "is missing; give batch.per_device or batch.global");
  }
  recipe.evaluate_per_device =
      static_cast<std::uint32_t>(batch.IntegerIn("evaluate_per_device", 0, 1 << 20, 0));
  recipe.reference_batch = static_cast<std::uint32_t>(batch.IntegerIn("reference", 0, 1 << 24, 0));

  const Params train = root.Section("train");
  recipe.epochs = static_cast<std::uint32_t>(train.IntegerIn("epochs", 1, kMax32));
  recipe.max_steps = static_cast<std::uint64_t>(train.IntegerIn("max_steps", 0, kMax64, 0));
  recipe.validate_every_epochs =
      static_cast<std::uint32_t>(train.IntegerIn("validate_every_epochs", 0, kMax32, 1));
  for (const char* key : {"start_by_validation", "patience"}) {
    if (!recipe.val && train.Has(key)) {
      train.Blame(key, "has no effect: it belongs to evaluations, and there is no [data.val]");
    }
  }
  if (recipe.val) {
    recipe.start_by_validation = train.Flag("start_by_validation", false);
    recipe.patience = static_cast<std::uint32_t>(train.IntegerIn("patience", 0, kMax32, 0));
  }
  recipe.stall_timeout_s =
      static_cast<std::uint32_t>(train.IntegerIn("stall_timeout_s", 1, 86400, 600));
  recipe.log_every_steps =
      static_cast<std::uint32_t>(train.IntegerIn("log_every_steps", 1, kMax32, 10));
  recipe.cuda_graph = train.Choice("cuda_graph", {"auto", "off"}, "auto") == "auto";

  const Params checkpoint = root.Section("checkpoint");
  recipe.checkpoint_every_steps =
      static_cast<std::uint64_t>(checkpoint.IntegerIn("every_steps", 0, kMax64, 1000));
  recipe.checkpoint_keep = static_cast<std::uint32_t>(checkpoint.IntegerIn("keep", 1, 1 << 20, 1));
  recipe.checkpoint_best = static_cast<std::uint32_t>(checkpoint.IntegerIn("best", 0, 1 << 20, 1));

  const Params pipeline = root.Section("pipeline");
  recipe.workers = NumberOrAuto(pipeline, "workers", 1, 1024).value_or(0);
  recipe.num_slots = NumberOrAuto(pipeline, "slots", 1, 1 << 16).value_or(0);
  recipe.cpu_budget = NumberOrAuto(pipeline, "cpu_budget", 1, 1024).value_or(0);
  recipe.read_ahead = NumberOrAuto(pipeline, "read_ahead", 0, 1 << 16);

  const Params tracking = root.Section("tracking");
  recipe.tracking_system =
      tracking.Choice("system", {"auto", "none", "mlflow", "polyaxon", "clearml"}, "auto");
  recipe.sinks = tracking.Sections("sinks");
  for (const char* key : {"pictures", "histograms"}) {
    if (!recipe.val && tracking.Has(key)) {
      tracking.Blame(key, "has no effect: it belongs to evaluations, and there is no [data.val]");
    }
  }
  if (recipe.val) {
    recipe.pictures = static_cast<std::uint32_t>(tracking.IntegerIn("pictures", 0, 64, 12));
    recipe.histograms = tracking.Flag("histograms", true);
  }
  return recipe;
}

const LoaderRecipe* Recipe::LoaderOf(stages::Phase phase) const {
  if (phase == stages::Phase::kTrain) return &train;
  const std::optional<LoaderRecipe>& loader = phase == stages::Phase::kTrainEval ? train_eval : val;
  return loader ? &*loader : nullptr;
}

std::string DifferingSetting::Text() const {
  return fmt::format("{}: {} before, {} now", key, before, now);
}

bool NamesHashedFiles(std::string_view setting) {
  return setting == "plugins" || std::any_of(kFiles.begin(), kFiles.end(), [&](const auto& file) {
           return setting == fmt::format("{}.{}", file.first, file.second);
         });
}

std::vector<DifferingSetting> DifferingSettings(const std::string& before, const std::string& now) {
  const auto settings = [](const std::string& text) {
    std::map<std::string, std::string> found;
    try {
      CollectSettings(ToJson(toml::parse(text), "recipe"), "", &found);
    } catch (const toml::parse_error& error) {
      Fail("a recipe that was kept is damaged: {}", error.description());
    }
    return found;
  };
  const auto earlier = settings(before);
  const auto later = settings(now);
  std::set<std::string> keys;
  for (const auto& [key, value] : earlier) keys.insert(key);
  for (const auto& [key, value] : later) keys.insert(key);
  const auto value_of = [](const auto& list, const std::string& key) {
    const auto at = list.find(key);
    return at == list.end() ? std::string("not set") : at->second;
  };
  std::vector<DifferingSetting> list;
  for (const std::string& key : keys) {
    const std::string was = value_of(earlier, key);
    const std::string is = value_of(later, key);
    if (was != is) list.push_back({.key = key, .before = was, .now = is});
  }
  return list;
}

std::string Recipe::ToToml() const {
  std::string text;
  AppendSection(Json::parse(params.EffectiveJson()), "", text);
  return text;
}

}  // namespace millrace::pipeline
