// XXH3 hashes of bytes: what records, shards, batches and runs are compared by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

// XXH3-64 of the bytes, seed 0, as `xxhsum -H3` prints it.
std::uint64_t Hash64(std::span<const std::byte> bytes);
std::uint64_t Hash64(std::string_view text);

// 16 lower-case hexadecimal digits.
std::string HashToHex(std::uint64_t hash);

// Streaming XXH3-64: the same result as Hash64 over everything added, however it was cut. One
// thread at a time.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Add(std::span<const std::byte> bytes);
  void Add(std::string_view text);
  // Adds 8 bytes, little-endian: no ambiguity about where one number ends.
  void AddU64(std::uint64_t value);

  // The hash of all that was added so far; more may follow.
  std::uint64_t Digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
