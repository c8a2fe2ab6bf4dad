#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>
#ifdef MILLRACE_XXHASH_PICKS
#include <xxh_x86dispatch.h>  // XXH3_64bits() and its update become those for this processor
#endif

#include <array>
#include <new>

namespace millrace {

struct Hasher::State {
  XXH3_state_t* xxh;
};

std::uint64_t Hash64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t Hash64(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

std::string HashToHex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

Hasher::Hasher() : state_(std::make_unique<State>(State{XXH3_createState()})) {
  if (state_->xxh == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state_->xxh);
}

Hasher::~Hasher() {
  if (state_) XXH3_freeState(state_->xxh);
}

Hasher::Hasher(Hasher&&) noexcept = default;

Hasher& Hasher::operator=(Hasher&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Hasher::Add(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Hasher::Add(std::string_view text) {
  XXH3_64bits_update(state_->xxh, text.data(), text.size());
}

void Hasher::AddU64(std::uint64_t value) {
  std::array<std::byte, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(value >> (8 * i));
  }
  Add(bytes);
}

std::uint64_t Hasher::Digest() const { return XXH3_64bits_digest(state_->xxh); }

}  // namespace millrace
