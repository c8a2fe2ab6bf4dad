#include "tracking/json_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace millrace::tracking {
namespace {

std::string Reason() { return std::generic_category().message(errno); }

// JSON has no NaN and no infinities; they appear as texts.
nlohmann::ordered_json ToJson(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

}  // namespace

JsonLines::JsonLines(std::filesystem::path path, Scalars::Kind kind, std::uint64_t keep_bytes)
    : path_(std::move(path)), kind_(kind) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) Fail("cannot open {}: {}", path_.string(), Reason());
  const off_t size = ::lseek(descriptor_, 0, SEEK_END);
  if (size < 0 || static_cast<std::uint64_t>(size) < keep_bytes) {
    ::close(descriptor_);
    Fail(
        "{} has {} bytes, but the checkpoint was written when it had {}: the file was cut; resume "
        "from an "
        "older checkpoint or start a new run folder",
        path_.string(), size, keep_bytes);
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(keep_bytes)) != 0) {
    const std::string reason = Reason();
    ::close(descriptor_);
    Fail("cannot cut {}: {}", path_.string(), reason);
  }
}

JsonLines::~JsonLines() { ::close(descriptor_); }

void JsonLines::OnScalars(const Scalars& scalars) {
  if (scalars.kind != kind_) return;
  nlohmann::ordered_json line;
  line["group"] = scalars.group;
  line["step"] = scalars.step;
  line["epoch"] = scalars.epoch;
  for (const auto& [name, value] : scalars.values) line[name] = ToJson(value);
  for (const auto& [name, text] : scalars.texts) line[name] = text;
  const std::string bytes = line.dump() + "\n";
  // One write per line: a killed process leaves whole lines.
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot write {}: {}", path_.string(), Reason());
    done += static_cast<std::size_t>(count);
  }
}

}  // namespace millrace::tracking
