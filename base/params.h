// Settings as a tree of named values, read strictly: a key that nobody asked for, or a value of the
// wrong type, is an Error (exit code 2) that names the key and where it stands.
//
// Each component reads its own section: `MakeOptimizer(params)` asks for "lr", "momentum", ... and
// the recipe's reader calls RefuseUnknown() when everybody has had their turn.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// A section of settings. Copies share the record of which keys were asked for. One thread at a
// time.
class Params {
 public:
  // An empty section called `where` ("recipe.toml").
  explicit Params(std::string where = "");

  // From a JSON object; `where` is put in front of keys in messages. Throws Error when the text is
  // not an object.
  static Params FromJson(std::string_view json, std::string where);

  bool Has(std::string_view key) const;

  // The value under `key`. Without a default, a missing key is an Error. An integer is accepted
  // where a real number is asked for, never the other way round.
  bool Flag(std::string_view key, std::optional<bool> fallback = {}) const;
  std::int64_t Integer(std::string_view key, std::optional<std::int64_t> fallback = {}) const;
  double Number(std::string_view key, std::optional<double> fallback = {}) const;
  std::string Text(std::string_view key, const std::optional<std::string>& fallback = {}) const;
  std::vector<double> Numbers(std::string_view key,
                              const std::optional<std::vector<double>>& fallback = {}) const;
  std::vector<std::int64_t> Integers(
      std::string_view key, const std::optional<std::vector<std::int64_t>>& fallback = {}) const;
  std::vector<std::string> Texts(
      std::string_view key, const std::optional<std::vector<std::string>>& fallback = {}) const;

  // The same with limits, both inclusive; a value outside them is an Error that names them.
  std::int64_t IntegerIn(std::string_view key, std::int64_t low, std::int64_t high,
                         std::optional<std::int64_t> fallback = {}) const;
  double NumberIn(std::string_view key, double low, double high,
                  std::optional<double> fallback = {}) const;
  // The value as JSON, for settings of more than one type; `fallback` is JSON too.
  std::string RawJson(std::string_view key, std::string_view fallback) const;
  // One of `choices`; anything else is an Error that lists them.
  std::string Choice(std::string_view key, std::initializer_list<std::string_view> choices,
                     const std::optional<std::string>& fallback = {}) const;
  std::string Choice(std::string_view key, const std::vector<std::string>& choices,
                     const std::optional<std::string>& fallback = {}) const;

  // A sub-section, or an empty one when the key is missing.
  Params Section(std::string_view key) const;
  // A list of sections ("ops = [ {...}, {...} ]"); empty when the key is missing.
  std::vector<Params> Sections(std::string_view key) const;

  // Throws Error (exit code 2) when this section or one below it holds a key that was never asked
  // for; the text suggests the nearest key that was.
  void RefuseUnknown() const;

  // Everything that was asked for, with the value that was used (given or default), as a JSON
  // object: the settings as they took effect.
  std::string EffectiveJson() const;

  // "recipe.toml: optimizer.lr", for messages about this section's key.
  std::string Where(std::string_view key) const;

  // Throws an Error (exit code 2): "<where>.<key>: <problem>".
  [[noreturn]] void Blame(std::string_view key, std::string_view problem) const;

 private:
  struct Node;
  explicit Params(std::shared_ptr<Node> node);
  std::shared_ptr<Node> node_;
};

}  // namespace millrace
