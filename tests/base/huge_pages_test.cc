#include "base/huge_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace millrace {
namespace {

// What the kernel says of the memory that `address` is in.
std::string FlagsOf(std::uintptr_t address) {
  std::ifstream maps("/proc/self/smaps");
  bool is_it = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      is_it = begin <= address && address < end;
    } else if (is_it && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return {};
}

TEST(HugePages, WishIsForThoseThatLieWholeInTheMemory) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage"))
    GTEST_SKIP() << "this kernel has no transparent huge pages";
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  constexpr std::size_t kBytes = 8 * kHuge;
  void* const memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const std::uintptr_t begin =
      (reinterpret_cast<std::uintptr_t>(memory) + kHuge - 1) / kHuge * kHuge;
  // From the middle of one huge page to the middle of the third after it.
  WishForHugePages(reinterpret_cast<void*>(begin + kHuge / 2), 3 * kHuge);
  const auto has_wish = [&](std::size_t offset) {
    return FlagsOf(begin + offset).find(" hg ") != std::string::npos;
  };
  EXPECT_FALSE(has_wish(kHuge / 2));
  EXPECT_TRUE(has_wish(kHuge));
  EXPECT_TRUE(has_wish(3 * kHuge - 1));
  EXPECT_FALSE(has_wish(3 * kHuge));
  EXPECT_EQ(::munmap(memory, kBytes), 0);
}

}  // namespace
}  // namespace millrace
