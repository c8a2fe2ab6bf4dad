// Tars from any bytes through every source that reads tars: either an Error or items whose contents
// are no larger than the input.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "storage/sources/tar_member.h"
#include "storage/sources/tar_reader.h"
#include "storage/sources/train_tar_source.h"
#include "storage/sources/val_tar_source.h"
#include "storage/sources/webdataset_source.h"
#include "tests/fuzz/memory_file.h"

namespace {

namespace storage = millrace::storage;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kBlock = 512;

// A header with a wrong checksum is refused before anything in it is looked at, and a fuzzer does
// not find right ones.
void RepairChecksums(Bytes& tar) {
  constexpr std::size_t kChecksum = 148;
  constexpr std::size_t kMagic = 257;
  for (std::size_t at = 0; at + kBlock <= tar.size(); at += kBlock) {
    std::uint8_t* header = tar.data() + at;
    if (std::memcmp(header + kMagic, "ustar", 5) != 0) continue;
    std::memset(header + kChecksum, ' ', 8);
    unsigned sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) sum += header[i];
    char digits[8];
    static_cast<void>(std::snprintf(digits, sizeof(digits), "%06o", sum));
    std::memcpy(header + kChecksum, digits, 7);
  }
}

// The bytes as gzip without compression; nobody reads the checksum at the end.
Bytes Gzip(const Bytes& bytes) {
  Bytes gzip = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3};
  constexpr std::size_t kMost = 0xFFFF;
  std::size_t at = 0;
  do {
    const std::size_t count = std::min(kMost, bytes.size() - at);
    const bool last = at + count == bytes.size();
    const auto low = static_cast<std::uint8_t>(count & 0xFF);
    const auto high = static_cast<std::uint8_t>(count >> 8);
    const Bytes head = {static_cast<std::uint8_t>(last ? 1 : 0), low, high,
                        static_cast<std::uint8_t>(~low), static_cast<std::uint8_t>(~high)};
    gzip.insert(gzip.end(), head.begin(), head.end());
    gzip.insert(gzip.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                bytes.begin() + static_cast<std::ptrdiff_t>(at + count));
    at += count;
  } while (at < bytes.size());
  gzip.resize(gzip.size() + 8);
  return gzip;
}

void Drain(storage::SampleSource& source, std::size_t most) {
  std::uint64_t last = 0;
  bool any = false;
  // Every third item is passed over.
  while (auto item = source.Next([](std::uint64_t position) { return position % 3 != 2; })) {
    MILLRACE_CHECK(!any || item->position > last);
    any = true;
    last = item->position;
    const bool fault = item->fault.has_value();
    const auto content = storage::TakeContent(*item);
    MILLRACE_CHECK(fault ? !content.ok() : content->size() == item->bytes);
    MILLRACE_CHECK(fault || content->size() <= most);
    MILLRACE_CHECK(fault || item->path.starts_with(item->class_id + "/"));
  }
  MILLRACE_CHECK(source.passed_bytes() == source.facts().total_bytes);
}

// As many labels as there are pictures.
storage::Devkit LabelAll(const std::shared_ptr<const storage::InputFile>& file) {
  storage::Devkit devkit;
  storage::TarReader reader(file);
  while (const auto member = reader.Next()) {
    if (!storage::WhyNoPicture(*member)) devkit.labels.emplace_back("n01440764");
  }
  return devkit;
}

void Survive(const std::function<void()>& action) {
  try {
    action();
  } catch (const millrace::Error&) {
    return;
  }
}

// `most`: the largest content that there can be [bytes].
void ReadAll(const Bytes& tar, std::size_t most) {
  static const millrace::fuzz::MemoryFile memory;
  memory.Fill(tar);
  const auto file = std::make_shared<const storage::InputFile>(memory.path());
  Survive([&] { Drain(*storage::OpenTrainTar(file, {}, {}), most); });
  Survive([&] { Drain(*storage::OpenValTar(file, LabelAll(file), {}, {}), most); });
  Survive([&] { Drain(*storage::OpenWebdataset({memory.path()}, {}, {}, {}, {}), most); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  if (size > kMost) return 0;
  Bytes tar(data, data + size);
  const bool compressed = size >= 2 && data[0] == 0x1F && data[1] == 0x8B;
  const std::size_t most = compressed ? SIZE_MAX : size;
  RepairChecksums(tar);
  if (!std::equal(tar.begin(), tar.end(), data)) ReadAll({data, data + size}, most);
  ReadAll(tar, most);
  ReadAll(Gzip(tar), most);
  return 0;
}
