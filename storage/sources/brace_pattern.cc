#include "storage/sources/brace_pattern.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "storage/sources/class_id.h"

namespace millrace::storage {
namespace {

constexpr std::size_t kMaxNames = 100'000;

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (!IsNumber(text) || code != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

// What "first..last" stands for; empty when it is not that.
std::vector<std::string> Sequence(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return {};
  const std::string_view first_text = text.substr(0, dots);
  const std::string_view last_text = text.substr(dots + 2);
  const auto first = ParseNumber(first_text);
  const auto last = ParseNumber(last_text);
  if (!first || !last || *first > *last || *last - *first >= kMaxNames) return {};
  const auto padded = [](std::string_view digits) { return digits.size() > 1 && digits[0] == '0'; };
  const std::size_t width =
      padded(first_text) || padded(last_text) ? std::max(first_text.size(), last_text.size()) : 0;
  std::vector<std::string> names;
  for (std::uint64_t number = *first; number <= *last; ++number) {
    std::string digits = std::to_string(number);
    if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
    names.push_back(std::move(digits));
  }
  return names;
}

// What "a,b,c" stands for; empty when it is not that.
std::vector<std::string> Alternatives(std::string_view text) {
  std::vector<std::string> names;
  if (text.find(',') == std::string_view::npos) return names;
  for (std::size_t at = 0;;) {
    const std::size_t comma = text.find(',', at);
    names.emplace_back(text.substr(at, comma - at));
    if (comma == std::string_view::npos) return names;
    at = comma + 1;
  }
}

}  // namespace

std::vector<std::string> ExpandBraces(std::string_view pattern) {
  const std::size_t open = pattern.find('{');
  const std::size_t close = pattern.find('}');
  if (open == std::string_view::npos && close == std::string_view::npos) {
    return {std::string(pattern)};
  }
  std::vector<std::string> middles;
  if (open < close && close != std::string_view::npos) {
    const std::string_view inside = pattern.substr(open + 1, close - open - 1);
    middles = Sequence(inside);
    if (middles.empty()) middles = Alternatives(inside);
    if (inside.find('{') != std::string_view::npos) middles.clear();
  }
  if (middles.empty()) {
    FailUsage(
        "\"{}\" is no pattern of names; it is expected as \"train-{{000..127}}.tar\" or "
        "\"train-{{a,b}}.tar\", of at most {} names",
        pattern, kMaxNames);
  }
  const auto ends = ExpandBraces(pattern.substr(close + 1));
  if (middles.size() * ends.size() > kMaxNames) {
    FailUsage("\"{}\" stands for more than {} names", pattern, kMaxNames);
  }
  std::vector<std::string> names;
  for (const auto& middle : middles) {
    for (const auto& end : ends) {
      names.push_back(std::string(pattern.substr(0, open)).append(middle).append(end));
    }
  }
  return names;
}

}  // namespace millrace::storage
