#include "tracking/clearml_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace millrace::tracking {
namespace {

// Of a file's name there are at most 255 bytes; something is put behind it.
constexpr std::size_t kMaxBytes = 200;

}  // namespace

std::string ClearmlPathPart(std::string_view name) {
  std::string part;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    if (plain) {
      part.push_back(c);
    } else {
      part += fmt::format("0x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (part.find_first_not_of('.') == std::string::npos) part += "_";
  if (part.size() > kMaxBytes) {
    const std::string hash = HashToHex(Hash64(name));
    part.resize(kMaxBytes - hash.size() - 1);
    part += "-" + hash;
  }
  return part;
}

std::string ClearmlPath(std::string_view name) {
  std::string path;
  for (;;) {
    const std::size_t slash = std::min(name.find('/'), name.size());
    if (slash > 0) path += (path.empty() ? "" : "/") + ClearmlPathPart(name.substr(0, slash));
    if (slash == name.size()) return path;
    name.remove_prefix(slash + 1);
  }
}

}  // namespace millrace::tracking
