// Hashes what decides the content of a source.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/hash.h"

namespace millrace::storage {

// Lengths go with the texts, so that two lists never look alike.
class SourceIdentity {
 public:
  explicit SourceIdentity(std::string_view kind) { AddText(kind); }

  void AddText(std::string_view text) {
    hasher_.AddU64(text.size());
    hasher_.Add(text);
  }
  void AddFile(std::string_view name, std::uint64_t bytes, std::int64_t modified_ns) {
    AddText(name);
    hasher_.AddU64(bytes);
    hasher_.AddU64(static_cast<std::uint64_t>(modified_ns));
  }

  std::uint64_t Digest() const { return hasher_.Digest(); }

 private:
  Hasher hasher_;
};

}  // namespace millrace::storage
