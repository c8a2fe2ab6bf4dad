#include "pipeline/launch/slurm_notation.h"

#include <algorithm>
#include <limits>

#include "pipeline/launch/variables.h"

namespace millrace::pipeline::launch {

std::optional<std::string> FirstHost(std::string_view list) {
  std::string host;
  std::size_t at = 0;
  while (at < list.size() && list[at] != ',') {
    if (list[at] != '[') {
      if (list[at] == ']') return {};
      host += list[at++];
      continue;
    }
    const std::size_t end = list.find(']', at);
    if (end == std::string_view::npos) return {};
    const std::string_view numbers = list.substr(at + 1, end - at - 1);
    const std::string_view first = numbers.substr(0, numbers.find_first_of(",-"));
    // Leading zeros belong to the name, so the digits are kept as they are.
    if (!ParseNumber(first)) return {};
    host += first;
    at = end + 1;
  }
  if (host.empty()) return {};
  return host;
}

std::optional<std::uint32_t> TasksOnNode(std::string_view tasks, std::uint32_t node) {
  std::uint64_t before = 0;
  for (std::size_t begin = 0; begin < tasks.size();) {
    const std::size_t end = std::min(tasks.find(',', begin), tasks.size());
    std::string_view item = tasks.substr(begin, end - begin);
    std::uint64_t times = 1;
    if (const std::size_t open = item.find("(x"); open != std::string_view::npos) {
      if (!item.ends_with(')')) return {};
      const auto given = ParseNumber(item.substr(open + 2, item.size() - open - 3));
      if (!given) return {};
      times = *given;
      item = item.substr(0, open);
    }
    const auto count = ParseNumber(item);
    if (!count || *count > std::numeric_limits<std::uint32_t>::max()) return {};
    if (node < before + times) return static_cast<std::uint32_t>(*count);
    before += times;
    begin = end + 1;
  }
  return {};
}

}  // namespace millrace::pipeline::launch
