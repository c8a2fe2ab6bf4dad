#include "tests/support/tar_reader.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace millrace::testing {

std::vector<TarMember> ReadTar(const std::filesystem::path& path, const std::string& suffix) {
  constexpr std::size_t kBlock = 512;
  const MappedFile file(path);
  const auto bytes = file.bytes();
  std::vector<TarMember> members;
  for (std::size_t at = 0; at + kBlock <= bytes.size();) {
    const char* header = reinterpret_cast<const char*>(bytes.data() + at);
    if (header[0] == 0) break;  // the end is marked by empty blocks
    if (std::memcmp(header + 257, "ustar", 5) != 0) Fail("{}: not a ustar archive", path.string());
    const std::string name(header, strnlen(header, 100));
    const std::size_t size = std::strtoull(std::string(header + 124, 12).c_str(), nullptr, 8);
    at += kBlock;
    if (at + size > bytes.size()) Fail("{}: {} is cut off", path.string(), name);
    if ((header[156] == '0' || header[156] == 0) && name.ends_with(suffix)) {
      const auto content = bytes.subspan(at, size);
      members.push_back({name, {content.begin(), content.end()}});
    }
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
  return members;
}

std::filesystem::path TestData(const std::string& name) {
  const char* folder = std::getenv("MILLRACE_TEST_DATA");
  return folder == nullptr ? std::filesystem::path() : std::filesystem::path(folder) / name;
}

}  // namespace millrace::testing
