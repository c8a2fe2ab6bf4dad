#include "base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>

#include "base/file.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

constexpr std::size_t kBytes = 64 << 20;
constexpr std::size_t kNear = 8 << 20;

// A map of so many bytes, all of them written or read, for as long as the object lives.
class TouchedMap {
 public:
  TouchedMap(int flags, int file, int protection)
      : memory_(::mmap(nullptr, kBytes, protection, flags, file, 0)) {
    if (memory_ == MAP_FAILED) return;
    auto* bytes = static_cast<volatile char*>(memory_);
    for (std::size_t i = 0; i < kBytes; i += 4096) {
      if ((protection & PROT_WRITE) != 0) {
        bytes[i] = 1;
      } else {
        (void)bytes[i];
      }
    }
  }
  ~TouchedMap() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, kBytes);
  }
  TouchedMap(const TouchedMap&) = delete;
  TouchedMap& operator=(const TouchedMap&) = delete;

 private:
  void* const memory_;
};

TEST(ResidentMemory, TellsAnonymousMemoryFromSharedMemoryAndMappedFiles) {
  const test::TemporaryFolder folder;
  WriteFileAtomically(folder / "file", std::string(kBytes, 'x'));
  const int file = ::open((folder / "file").c_str(), O_RDONLY);
  ASSERT_GE(file, 0);
  const auto grown = [](int flags, int descriptor, int protection) {
    const ResidentMemory before = ReadResidentMemory();
    const TouchedMap map(flags, descriptor, protection);
    const ResidentMemory after = ReadResidentMemory();
    return ResidentMemory{.anonymous = after.anonymous - before.anonymous,
                          .shared = after.shared - before.shared,
                          .files = after.files - before.files};
  };
  const ResidentMemory anonymous = grown(MAP_PRIVATE | MAP_ANONYMOUS, -1, PROT_READ | PROT_WRITE);
  EXPECT_NEAR(static_cast<double>(anonymous.anonymous), kBytes, kNear);
  EXPECT_NEAR(static_cast<double>(anonymous.beyond_page_cache()), kBytes, kNear);
  const ResidentMemory shared = grown(MAP_SHARED | MAP_ANONYMOUS, -1, PROT_READ | PROT_WRITE);
  EXPECT_NEAR(static_cast<double>(shared.shared), kBytes, kNear);
  EXPECT_NEAR(static_cast<double>(shared.beyond_page_cache()), kBytes, kNear);
  const ResidentMemory files = grown(MAP_SHARED, file, PROT_READ);
  EXPECT_NEAR(static_cast<double>(files.files), kBytes, kNear);
  EXPECT_LT(files.beyond_page_cache(), kNear);
  ::close(file);
}

TEST(MemoryLimit, IsMoreThanThisProcessUses) {
  EXPECT_GT(MemoryLimit(), ReadResidentMemory().beyond_page_cache());
}

TEST(MemoryLimit, LeastOfTheGroupAndThoseItLiesInCounts) {
  const test::TemporaryFolder folder;
  CreateFolders(folder / "a/b");
  CreateFolders(folder / "memory/c/d");
  const auto limit = [&](const std::string& text) {
    std::istringstream groups(text);
    return MemoryLimitOfGroups(groups, folder.path());
  };
  constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
  const std::string both = "8:pids:/c/d\n4:memory:/c/d\n0::/a/b\n";
  EXPECT_EQ(limit(both), kNone);
  WriteFileAtomically(folder / "a/b/memory.max", "max\n");
  EXPECT_EQ(limit(both), kNone);
  WriteFileAtomically(folder / "memory/c/d/memory.limit_in_bytes", "7000\n");
  EXPECT_EQ(limit(both), 7000u);
  EXPECT_EQ(limit("0::/a/b\n"), kNone);
  WriteFileAtomically(folder / "a/memory.max", "5000\n");
  EXPECT_EQ(limit(both), 5000u);
  WriteFileAtomically(folder / "memory/memory.limit_in_bytes", "3000\n");
  EXPECT_EQ(limit(both), 3000u);
  // A container that sees its own group as the root.
  WriteFileAtomically(folder / "memory.max", "2000\n");
  EXPECT_EQ(limit("0::/somewhere/else\n"), 2000u);
  EXPECT_EQ(limit("no line of a group\n"), kNone);
  EXPECT_EQ(limit(""), kNone);
}

}  // namespace
}  // namespace millrace
