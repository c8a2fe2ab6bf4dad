#include "tracking/json_lines.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace millrace::tracking {
namespace {

// JSON has no NaN and no infinities; they appear as texts.
nlohmann::ordered_json ToJson(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

}  // namespace

JsonLines::JsonLines(std::filesystem::path path, Scalars::Kind kind, std::uint64_t keep_bytes)
    : file_(std::move(path), keep_bytes), kind_(kind) {}

void JsonLines::OnScalars(const Scalars& scalars) {
  if (scalars.kind != kind_) return;
  nlohmann::ordered_json line;
  line["group"] = scalars.group;
  line["step"] = scalars.step;
  line["epoch"] = scalars.epoch;
  for (const auto& [name, value] : scalars.values) line[name] = ToJson(value);
  for (const auto& [name, text] : scalars.texts) line[name] = text;
  file_.Append(line.dump() + "\n");
}

}  // namespace millrace::tracking
