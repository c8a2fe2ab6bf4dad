#include "tools/seeds.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/format.h"

namespace millrace::tools {
namespace {

constexpr std::uint64_t kMostSeeds = 1000;

std::uint64_t ParseNumber(std::string_view word, const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (code != std::errc() || end != word.data() + word.size()) {
    FailUsage("--seeds {}: write seeds, as in --seeds 0,1,2, or how many, as in --seeds 3", text);
  }
  return number;
}

bool IsTime(const pipeline::SeedColumn& column) {
  return std::string_view(column.name) == "seconds";
}

std::string Cell(const pipeline::SeedColumn& column, std::optional<double> number) {
  if (!number) return "-";
  return IsTime(column) ? FormatDuration(*number) : fmt::format("{:.4f}", *number);
}

// "best top-1"
std::string Title(const pipeline::SeedColumn& column) {
  if (IsTime(column)) return "time";
  std::string title = column.name;
  return title.replace(title.find("_top"), 4, " top-");
}

}  // namespace

std::vector<std::uint64_t> ParseSeeds(const std::string& text, std::uint64_t first) {
  std::vector<std::uint64_t> seeds;
  if (text.find(',') == text.npos) {
    const std::uint64_t count = ParseNumber(text, text);
    if (count < 1 || count > kMostSeeds) {
      FailUsage("--seeds {}: there can be 1 to {} of them", text, kMostSeeds);
    }
    for (std::uint64_t i = 0; i < count; ++i) seeds.push_back(first + i);
    return seeds;
  }
  std::string_view rest = text;
  for (bool more = true; more;) {
    const std::size_t end = rest.find(',');
    more = end != rest.npos;
    seeds.push_back(ParseNumber(rest.substr(0, end), text));
    if (std::count(seeds.begin(), seeds.end(), seeds.back()) > 1) {
      FailUsage("--seeds {}: {} is there twice", text, seeds.back());
    }
    if (more) rest.remove_prefix(end + 1);
  }
  return seeds;
}

void Print(const pipeline::SeedSeries& series) {
  const auto columns = pipeline::SeedColumns();
  const auto print = [&](const std::string& name, const auto& cell_of, const std::string& end) {
    fmt::print("{:>8}", name);
    for (const pipeline::SeedColumn& column : columns) fmt::print("{:>12}", cell_of(column));
    fmt::print("{}{}\n", end.empty() ? "" : "  ", end);
  };
  print("seed", Title, "run");
  std::size_t finished = 0;
  for (const pipeline::SeedRun& run : series.runs) {
    const bool done = run.state == pipeline::SeedRun::State::kFinished;
    finished += done ? 1 : 0;
    std::string where = run.folder.string();
    if (run.state == pipeline::SeedRun::State::kStopped) {
      where += fmt::format(" (stopped at step {} of {})", FormatCount(run.step),
                           FormatCount(run.total_steps));
    } else if (!done) {
      where += " (not begun)";
    }
    print(
        std::to_string(run.seed),
        [&](const pipeline::SeedColumn& column) { return Cell(column, column.of(run)); }, where);
  }
  if (finished == 0) return;
  const auto of_spread = [&](const char* name, std::optional<double> (*number)(const Spread&),
                             const std::string& end) {
    print(
        name,
        [&](const pipeline::SeedColumn& column) {
          const auto spread = pipeline::SpreadOf(series, column);
          return Cell(column, spread ? number(*spread) : std::nullopt);
        },
        end);
  };
  of_spread(
      "mean", [](const Spread& spread) { return std::optional(spread.mean); },
      finished == series.runs.size()
          ? ""
          : fmt::format("over {} of {} seeds", finished, series.runs.size()));
  of_spread(
      "+-", [](const Spread& spread) { return spread.deviation; }, "sample standard deviation");
  of_spread(
      "min", [](const Spread& spread) { return std::optional(spread.min); }, "");
  of_spread(
      "max", [](const Spread& spread) { return std::optional(spread.max); }, "");
}

}  // namespace millrace::tools
