#include "pipeline/launch/variables.h"

#include <charconv>
#include <cstdlib>
#include <limits>

#include "base/error.h"

namespace millrace::pipeline::launch {

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

std::function<const char*(const char* name)> ProcessEnvironment() {
  return [](const char* name) -> const char* { return std::getenv(name); };
}

std::optional<std::string> Variables::Text(const char* name) const {
  const char* text = get_(name);
  if (text == nullptr || *text == '\0') return {};
  return text;
}

std::optional<std::uint32_t> Variables::Number(const char* name) const {
  const auto text = Text(name);
  if (!text) return {};
  const auto number = ParseNumber(*text);
  if (!number || *number > std::numeric_limits<std::uint32_t>::max()) {
    FailUsage("{} is \"{}\", which is no number", name, *text);
  }
  return static_cast<std::uint32_t>(*number);
}

std::uint32_t Variables::Needed(const char* name, const char* beside) const {
  const auto number = Number(name);
  if (!number) FailUsage("{} is set, but {} is not; set both or none", beside, name);
  return *number;
}

std::optional<std::uint16_t> Variables::Port(const char* name) const {
  const auto number = Number(name);
  if (!number) return {};
  if (*number < 1 || *number > std::numeric_limits<std::uint16_t>::max()) {
    FailUsage("{} is {}, which is no port; write one from 1 to 65535", name, *number);
  }
  return static_cast<std::uint16_t>(*number);
}

}  // namespace millrace::pipeline::launch
