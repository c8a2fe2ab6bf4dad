#include "base/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/suggest.h"

namespace millrace {

using Json = nlohmann::json;

struct Params::Node {
  std::string where;  // "recipe.toml" or "recipe.toml: optimizer"
  bool is_root = false;
  Json values = Json::object();
  Json used = Json::object();  // scalar and list settings as they were answered
  std::set<std::string, std::less<>> asked;
  std::map<std::string, std::vector<std::shared_ptr<Node>>, std::less<>> children;

  // The value under `key`, or null; remembers that it was asked for.
  const Json* Find(std::string_view key) {
    asked.emplace(key);
    const auto it = values.find(std::string(key));
    return it == values.end() ? nullptr : &*it;
  }

  std::string Path(std::string_view key) const {
    return is_root ? fmt::format("{}: {}", where, key) : fmt::format("{}.{}", where, key);
  }

  [[noreturn]] void Blame(std::string_view key, std::string_view problem) const {
    FailUsage("{}: {}", Path(key), problem);
  }

  // The value under `key` converted by `convert`, which returns nullopt for a wrong type.
  template <typename T, typename Convert>
  T Get(std::string_view key, const std::optional<T>& fallback, std::string_view kind,
        Convert convert) {
    const Json* value = Find(key);
    if (value == nullptr) {
      if (!fallback) Blame(key, fmt::format("is missing; it must be {}", kind));
      used[std::string(key)] = *fallback;
      return *fallback;
    }
    used[std::string(key)] = *value;
    std::optional<T> converted = convert(*value);
    if (!converted) Blame(key, fmt::format("is {}; it must be {}", value->dump(), kind));
    return std::move(*converted);
  }

  template <typename T, typename Convert>
  std::vector<T> GetList(std::string_view key, const std::optional<std::vector<T>>& fallback,
                         std::string_view kind, Convert convert) {
    return Get<std::vector<T>>(key, fallback, kind,
                               [&](const Json& value) -> std::optional<std::vector<T>> {
                                 if (!value.is_array()) return std::nullopt;
                                 std::vector<T> list;
                                 for (const Json& element : value) {
                                   std::optional<T> converted = convert(element);
                                   if (!converted) return std::nullopt;
                                   list.push_back(std::move(*converted));
                                 }
                                 return list;
                               });
  }

  Json Effective() const {
    Json result = used;
    for (const auto& [key, nodes] : children) {
      if (nodes.empty()) continue;
      if (const auto it = values.find(key); it != values.end() && it->is_array()) {
        for (const auto& node : nodes) result[key].push_back(node->Effective());
      } else if (Json child = nodes.front()->Effective(); !child.empty()) {
        result[key] = std::move(child);
      }
    }
    return result;
  }

  void RefuseUnknown() const {
    for (const auto& [key, value] : values.items()) {
      if (asked.contains(key)) continue;
      std::string hint = Suggest(key, {asked.begin(), asked.end()});
      if (hint.empty() && !asked.empty()) {
        hint = fmt::format("; there are {}", fmt::join(asked, ", "));
      }
      Blame(key, "is not a setting that is read here" + hint);
    }
    for (const auto& [key, nodes] : children) {
      for (const auto& node : nodes) node->RefuseUnknown();
    }
  }
};

namespace {

std::optional<bool> ToFlag(const Json& value) {
  return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
}
std::optional<std::int64_t> ToInteger(const Json& value) {
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}
std::optional<double> ToNumber(const Json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}
std::optional<std::string> ToText(const Json& value) {
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

template <typename T>
std::string OutOfRange(T value, T low, T high) {
  if (high == std::numeric_limits<T>::max()) {
    return fmt::format("is {}; it must be at least {}", value, low);
  }
  return fmt::format("is {}; it must be between {} and {}", value, low, high);
}

}  // namespace

Params::Params(std::string where) : node_(std::make_shared<Node>()) {
  node_->where = std::move(where);
  node_->is_root = true;
}

Params::Params(std::shared_ptr<Node> node) : node_(std::move(node)) {}

Params Params::FromJson(std::string_view json, std::string where) {
  Params params(std::move(where));
  params.node_->values = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!params.node_->values.is_object())
    FailUsage("{}: not an object of settings", params.node_->where);
  return params;
}

bool Params::Has(std::string_view key) const { return node_->Find(key) != nullptr; }

bool Params::Flag(std::string_view key, std::optional<bool> fallback) const {
  return node_->Get(key, fallback, "true or false", ToFlag);
}
std::int64_t Params::Integer(std::string_view key, std::optional<std::int64_t> fallback) const {
  return node_->Get(key, fallback, "a whole number", ToInteger);
}
double Params::Number(std::string_view key, std::optional<double> fallback) const {
  return node_->Get(key, fallback, "a number", ToNumber);
}
std::string Params::Text(std::string_view key, const std::optional<std::string>& fallback) const {
  return node_->Get(key, fallback, "a text in quotes", ToText);
}
std::vector<double> Params::Numbers(std::string_view key,
                                    const std::optional<std::vector<double>>& fallback) const {
  return node_->GetList(key, fallback, "a list of numbers", ToNumber);
}
std::vector<std::int64_t> Params::Integers(
    std::string_view key, const std::optional<std::vector<std::int64_t>>& fallback) const {
  return node_->GetList(key, fallback, "a list of whole numbers", ToInteger);
}
std::vector<std::string> Params::Texts(
    std::string_view key, const std::optional<std::vector<std::string>>& fallback) const {
  return node_->GetList(key, fallback, "a list of texts in quotes", ToText);
}

std::int64_t Params::IntegerIn(std::string_view key, std::int64_t low, std::int64_t high,
                               std::optional<std::int64_t> fallback) const {
  const std::int64_t value = Integer(key, fallback);
  if (value < low || value > high) Blame(key, OutOfRange(value, low, high));
  return value;
}

double Params::NumberIn(std::string_view key, double low, double high,
                        std::optional<double> fallback) const {
  const double value = Number(key, fallback);
  if (!(value >= low && value <= high)) Blame(key, OutOfRange(value, low, high));
  return value;
}

std::string Params::Choice(std::string_view key, std::initializer_list<std::string_view> choices,
                           const std::optional<std::string>& fallback) const {
  return Choice(key, std::vector<std::string>(choices.begin(), choices.end()), fallback);
}

std::string Params::Choice(std::string_view key, const std::vector<std::string>& choices,
                           const std::optional<std::string>& fallback) const {
  std::string value = Text(key, fallback);
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    Blame(key, fmt::format("is \"{}\"; it must be one of {}{}", value, fmt::join(choices, ", "),
                           Suggest(value, choices)));
  }
  return value;
}

std::string Params::RawJson(std::string_view key, std::string_view fallback) const {
  return node_
      ->Get(key, std::optional(Json::parse(fallback)), "a value",
            [](const Json& value) { return std::optional(value); })
      .dump();
}

Params Params::Section(std::string_view key) const {
  const Json* value = node_->Find(key);
  auto& known = node_->children[std::string(key)];
  if (known.empty()) {
    auto child = std::make_shared<Node>();
    child->where = node_->Path(key);
    if (value != nullptr) {
      if (!value->is_object())
        node_->Blame(key, fmt::format("is {}; it must be a section", value->dump()));
      child->values = *value;
    }
    known.push_back(std::move(child));
  }
  return Params(known.front());
}

std::vector<Params> Params::Sections(std::string_view key) const {
  const Json* value = node_->Find(key);
  auto& known = node_->children[std::string(key)];
  if (known.empty() && value != nullptr) {
    if (!value->is_array()) node_->Blame(key, "must be a list of sections");
    for (std::size_t i = 0; i < value->size(); ++i) {
      auto child = std::make_shared<Node>();
      child->where = fmt::format("{}[{}]", node_->Path(key), i);
      if (!(*value)[i].is_object()) {
        node_->Blame(key, fmt::format("entry {} is {}; it must be a section {{ ... }}", i,
                                      (*value)[i].dump()));
      }
      child->values = (*value)[i];
      known.push_back(std::move(child));
    }
  }
  std::vector<Params> sections;
  for (const auto& child : known) sections.push_back(Params(child));
  return sections;
}

void Params::RefuseUnknown() const { node_->RefuseUnknown(); }

std::string Params::EffectiveJson() const { return node_->Effective().dump(); }

std::string Params::Where(std::string_view key) const { return node_->Path(key); }

void Params::Blame(std::string_view key, std::string_view problem) const {
  node_->Blame(key, problem);
}

}  // namespace millrace
