// Reads numbers and texts from variables of the environment, with errors that name them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::pipeline::launch {

// A decimal number that is all of `text`.
std::optional<std::uint64_t> ParseNumber(std::string_view text);

// The variables of this process.
std::function<const char*(const char* name)> ProcessEnvironment();

// A variable with an empty value counts as not set: scripts switch variables off so. Throws Error
// (exit code 2) from whatever reads numbers. `get` must outlive it.
class Variables {
 public:
  using Get = std::function<const char*(const char* name)>;

  explicit Variables(const Get& get) : get_(get) {}

  bool Has(const char* name) const { return Text(name).has_value(); }
  std::optional<std::string> Text(const char* name) const;
  // A number below 2^32.
  std::optional<std::uint32_t> Number(const char* name) const;
  // A number that must be there because `beside` is.
  std::uint32_t Needed(const char* name, const char* beside) const;
  // A port from 1 to 65535.
  std::optional<std::uint16_t> Port(const char* name) const;

 private:
  const Get& get_;
};

}  // namespace millrace::pipeline::launch
