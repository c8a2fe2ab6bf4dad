#include "storage/tar_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/error.h"

namespace millrace::storage {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kNameBytes = 100;
constexpr std::uint64_t kMaxOctalSize = (std::uint64_t{1} << 33) - 1;

using Header = std::array<std::byte, kBlock>;

// POSIX.1-1988, "ustar Interchange Format"; sizes from 8 GiB on in GNU's binary form.
Header MakeHeader(std::string_view name, std::uint64_t size) {
  MILLRACE_CHECK(!name.empty() && name.size() <= kNameBytes);
  std::array<char, kBlock> text{};
  const auto put = [&](std::size_t at, std::string_view value) {
    std::copy(value.begin(), value.end(), text.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name);
  put(100, "0000644");  // mode
  put(108, "0000000");  // owner
  put(116, "0000000");  // group
  if (size <= kMaxOctalSize) {
    put(124, fmt::format("{:011o}", size));
  } else {
    text[124] = '\x80';
    for (std::size_t i = 0; i < 8; ++i) text[128 + i] = static_cast<char>(size >> (56 - 8 * i));
  }
  put(136, "00000000000");  // time of change
  put(148, "        ");     // the checksum, over blanks in its place
  put(156, "0");            // a file
  put(257, std::string_view("ustar\0"
                            "00",
                            8));
  unsigned sum = 0;
  for (const char c : text) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum));
  text[154] = '\0';
  Header header;
  std::memcpy(header.data(), text.data(), kBlock);
  return header;
}

}  // namespace

void TarWriter::Add(std::string_view name, std::span<const std::byte> bytes) {
  constexpr std::array<std::byte, kBlock> kPadding{};
  Write(MakeHeader(name, bytes.size()));
  Write(bytes);
  Write(std::span(kPadding).first((kBlock - bytes.size() % kBlock) % kBlock));
}

void TarWriter::BeginTar(std::string_view name) {
  MILLRACE_CHECK(!inner_);
  inner_ = InnerTar{.name = std::string(name), .header = size_};
  Write(MakeHeader(name, 0));
}

void TarWriter::EndTar() {
  MILLRACE_CHECK(inner_.has_value());
  WriteEnd();
  const Header header = MakeHeader(inner_->name, size_ - inner_->header - kBlock);
  file_.WriteAt(inner_->header, std::as_bytes(std::span(header)));
  inner_.reset();
}

void TarWriter::Close() {
  MILLRACE_CHECK(!inner_);
  WriteEnd();
  file_.Commit();
}

void TarWriter::Write(std::span<const std::byte> bytes) {
  file_.Write(bytes);
  size_ += bytes.size();
}

void TarWriter::WriteEnd() {
  constexpr std::array<std::byte, 2 * kBlock> kEnd{};
  Write(kEnd);
}

}  // namespace millrace::storage
