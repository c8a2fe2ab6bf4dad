// What a run's folder says of it: the recipe, the environment and the lines of metrics.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace millrace::pipeline {

// A line of metrics.jsonl or timings.jsonl. Values stand as JSON writes them, so that equal texts
// are equal bits.
struct RunLine {
  std::string group;
  std::uint64_t step = 0;  // global steps done
  std::map<std::string, std::string> values;

  // "" where the line has no such value.
  std::string Value(const std::string& name) const;
  // The same as a number; NaN where there is none.
  double Number(const std::string& name) const;
};

struct RunRecord {
  std::filesystem::path root;
  std::string config;                              // TOML, as it took effect
  std::map<std::string, std::string> environment;  // texts as they are, numbers as JSON has them
  std::vector<RunLine> lines;

  // Throws Error naming the file that is missing or, with the line, damaged. A last line without
  // an end, which a killed run leaves, does not count.
  static RunRecord Read(const std::filesystem::path& folder);

  // "" where the environment does not say it.
  std::string Environment(const std::string& name) const;
};

// The lines of timings.jsonl. A file that is missing has none; a line that a killed run left
// unfinished does not count.
std::vector<RunLine> ReadTimings(const std::filesystem::path& folder);

}  // namespace millrace::pipeline
