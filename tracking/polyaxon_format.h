// How Polyaxon writes names and times, and JSON to it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace millrace::tracking {

// As traceml names files after what they hold: "val/acc 1" becomes "val__acc-1". Letters that are
// not ASCII are left out.
std::string PolyaxonName(std::string_view name);

// "2026-11-23 00:00:00.000000+00:00" of milliseconds since 1970, with `separator` after the date.
std::string PolyaxonTime(std::int64_t time_ms, char separator);

// In one line. Bytes that are no UTF-8 are replaced.
std::string PolyaxonJson(const nlohmann::ordered_json& json);

}  // namespace millrace::tracking
