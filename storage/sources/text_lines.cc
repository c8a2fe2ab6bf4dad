#include "storage/sources/text_lines.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "base/format.h"
#include "storage/sources/class_id.h"
#include "storage/sources/input_file.h"

namespace millrace::storage {

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(Trim(text.substr(at, end - at)));
    at = end + 1;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<std::string> ReadLines(const std::filesystem::path& path) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20;
  const InputFile file(path);
  if (file.size() > kMaxBytes) {
    Fail("{} is no list: it has {}", path.string(), FormatBytes(file.size()));
  }
  std::string text(file.size(), '\0');
  text.resize(file.ReadAt(0, std::as_writable_bytes(std::span(text))));
  return SplitLines(text);
}

}  // namespace millrace::storage
