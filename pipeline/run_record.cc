#include "pipeline/run_record.h"

#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/run_folder.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::json;

std::string ValueOf(const std::map<std::string, std::string>& values, const std::string& name) {
  const auto at = values.find(name);
  return at == values.end() ? "" : at->second;
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

RunLine ReadLine(std::string_view text) {
  const Json json = Json::parse(text);
  RunLine line{.group = json.at("group").get<std::string>(),
               .step = json.at("step").get<std::uint64_t>(),
               .values = {}};
  for (const auto& [name, value] : json.items()) line.values.emplace(name, TextOf(value));
  return line;
}

}  // namespace

std::string RunLine::Value(const std::string& name) const { return ValueOf(values, name); }

double RunLine::Number(const std::string& name) const {
  const auto at = values.find(name);
  if (at == values.end() || at->second.empty()) return std::numeric_limits<double>::quiet_NaN();
  // It takes "NaN" and "Infinity", too, as which a line tells what JSON has no number for.
  char* end = nullptr;
  const double number = std::strtod(at->second.c_str(), &end);
  return *end == '\0' ? number : std::numeric_limits<double>::quiet_NaN();
}

std::string RunRecord::Environment(const std::string& name) const {
  return ValueOf(environment, name);
}

RunRecord RunRecord::Read(const std::filesystem::path& folder) {
  const RunFolder files{folder};
  std::error_code code;
  if (!std::filesystem::is_regular_file(files.metrics(), code)) {
    Fail("{} is not a run's folder: there is no {}", folder.string(), files.metrics().string());
  }
  RunRecord run;
  run.root = folder;
  run.config = ReadFile(files.config());
  try {
    const Json environment = Json::parse(ReadFile(files.environment()));
    for (const auto& [name, value] : environment.items()) {
      run.environment.emplace(name, TextOf(value));
    }
  } catch (const Json::exception&) {
    Fail("{}: is damaged: it holds no JSON object", files.environment().string());
  }
  const std::string text = ReadFile(files.metrics());
  std::size_t begin = 0;
  for (std::size_t number = 1;; ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    try {
      run.lines.push_back(ReadLine(std::string_view(text).substr(begin, end - begin)));
    } catch (const Json::exception&) {
      Fail("{}:{}: is damaged: the line is none that a run writes", files.metrics().string(),
           number);
    }
    begin = end + 1;
  }
  return run;
}

std::vector<RunLine> ReadTimings(const std::filesystem::path& folder) {
  const RunFolder files{folder};
  std::error_code code;
  if (!std::filesystem::is_regular_file(files.timings(), code)) return {};
  std::istringstream text(ReadFile(files.timings()));
  std::vector<RunLine> lines;
  for (std::string line; std::getline(text, line);) {
    try {
      lines.push_back(ReadLine(line));
    } catch (const Json::exception&) {
      // A run goes on behind what a killed one left, which may be half a line.
    }
  }
  return lines;
}

}  // namespace millrace::pipeline
