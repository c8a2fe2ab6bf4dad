// SHA-256: what others expect a file to be checked by. Our own hashes are XXH3 (hash.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace millrace {

// FIPS 180-4. One thread at a time.
class Sha256 {
 public:
  void Add(std::string_view bytes);
  // 64 lower-case hexadecimal digits. Nothing may be added afterwards.
  std::string Finish();

 private:
  void TakeBlock(const unsigned char* block);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_{};
  std::size_t filled_ = 0;   // bytes of block_
  std::uint64_t bytes_ = 0;  // in all
};

// Of a file's bytes. Throws Error naming the file when it cannot be read.
std::string Sha256OfFile(const std::filesystem::path& path);

}  // namespace millrace
