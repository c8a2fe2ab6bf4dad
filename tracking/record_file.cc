#include "tracking/record_file.h"

#include <array>
#include <cstring>

namespace millrace::tracking {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kHeaderBytes = kLengthBytes + kChecksumBytes;

// Eight tables, so that eight bytes are taken at a time: "slicing-by-8" of Kounavis and Berry, "A
// Systematic Approach to Building High Performance Software-Based CRC Generators", 2005.
constexpr std::size_t kSlices = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

constexpr Tables MakeTables() {
  constexpr std::uint32_t kPolynomial = 0x82f63b78;  // Castagnoli's, bits reversed
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t crc = tables[slice - 1][byte];
      tables[slice][byte] = crc >> 8 ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

template <typename Number>
Number LittleEndian(const char* bytes) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    value |=
        static_cast<Number>(static_cast<Number>(static_cast<unsigned char>(bytes[i])) << 8 * i);
  }
  return value;
}

template <typename Number>
void AppendLittleEndian(Number value, std::string* to) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    to->push_back(static_cast<char>(value >> 8 * i & 0xff));
  }
}

// A checksum over bytes that themselves hold checksums would be weak; TensorFlow masks them.
std::uint32_t Masked(std::uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

}  // namespace

std::uint32_t Crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  while (bytes.size() >= kSlices) {
    const std::uint64_t next = LittleEndian<std::uint64_t>(bytes.data()) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < kSlices; ++i) {
      crc ^= kTables[kSlices - 1 - i][next >> 8 * i & 0xff];
    }
    bytes.remove_prefix(kSlices);
  }
  for (const char byte : bytes) {
    crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~crc;
}

void AppendRecord(std::string_view data, std::string* to) {
  to->reserve(to->size() + kHeaderBytes + data.size() + kChecksumBytes);
  const std::size_t begin = to->size();
  AppendLittleEndian<std::uint64_t>(data.size(), to);
  AppendLittleEndian(Masked(Crc32c(std::string_view(*to).substr(begin))), to);
  to->append(data);
  AppendLittleEndian(Masked(Crc32c(data)), to);
}

std::optional<std::string_view> RecordReader::Next() {
  const std::string_view rest = bytes_.substr(position_);
  if (rest.size() < kHeaderBytes + kChecksumBytes) return std::nullopt;
  const auto length = LittleEndian<std::uint64_t>(rest.data());
  if (LittleEndian<std::uint32_t>(rest.data() + kLengthBytes) !=
      Masked(Crc32c(rest.substr(0, kLengthBytes)))) {
    return std::nullopt;
  }
  if (length > rest.size() - kHeaderBytes - kChecksumBytes) return std::nullopt;
  const std::string_view data = rest.substr(kHeaderBytes, length);
  if (LittleEndian<std::uint32_t>(rest.data() + kHeaderBytes + length) != Masked(Crc32c(data))) {
    return std::nullopt;
  }
  position_ += kHeaderBytes + length + kChecksumBytes;
  return data;
}

}  // namespace millrace::tracking
