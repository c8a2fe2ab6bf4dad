#include "storage/sources/sample_source.h"

#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "storage/record.h"
#include "storage/sources/input_file.h"

namespace millrace::storage {

void IgnoredFiles::Add(std::string what) {
  constexpr std::size_t kMost = 10'000;
  if (names_.size() < kMost) {
    names_.push_back(std::move(what));
  } else if (names_.size() == kMost) {
    names_.emplace_back("(more that are not listed)");
  }
}

Result<std::vector<std::byte>> TakeContent(SourceItem& item) {
  if (item.fault) return *item.fault;
  if (item.file.empty()) return std::move(item.content);
  try {
    const InputFile file(item.file);
    std::vector<std::byte> content(item.bytes);
    if (file.size() != item.bytes || file.ReadAt(0, content) != item.bytes) {
      return Fault{"changed while it was being converted"};
    }
    return content;
  } catch (const Error& error) {
    return Fault{error.what()};
  }
}

Fault TooLarge(std::uint64_t bytes) {
  return MakeFault("{} is more than a picture may have ({})", FormatBytes(bytes),
                   FormatBytes(kMaxPayloadBytes));
}

}  // namespace millrace::storage
