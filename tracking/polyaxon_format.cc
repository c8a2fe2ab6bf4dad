#include "tracking/polyaxon_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

namespace millrace::tracking {

std::string PolyaxonName(std::string_view name) {
  std::string kept;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || std::string_view("_\\/. \t-").find(c) != std::string_view::npos) kept += c;
  }
  const std::size_t begin = kept.find_first_not_of(" \t");
  if (begin == std::string::npos) return "unnamed";
  kept = kept.substr(begin, kept.find_last_not_of(" \t") - begin + 1);
  std::string result;
  for (std::size_t i = 0; i < kept.size();) {
    const bool slash = kept[i] == '/' || kept[i] == '\\';
    const std::string_view run = slash ? "/\\" : "-. \t";
    const std::size_t end = std::min(kept.find_first_not_of(run, i), kept.size());
    if (end == i) {
      result += kept[i++];
    } else {
      result += slash ? "__" : "-";
      i = end;
    }
  }
  return result;
}

std::string PolyaxonTime(std::int64_t time_ms, char separator) {
  const std::time_t seconds = time_ms / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}.{:03}000+00:00", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, separator, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     time_ms % 1000);
}

std::string PolyaxonJson(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace millrace::tracking
