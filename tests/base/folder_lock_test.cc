#include "base/folder_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

using test::ErrorOf;

TEST(FolderLock, SecondHolderIsRefusedUntilTheFirstHasGone) {
  const test::TemporaryFolder folder;
  std::optional<FolderLock> first(std::in_place, folder.path(), "another run");
  EXPECT_EQ(ErrorOf([&] { const FolderLock second(folder.path(), "another run"); }),
            "another run is writing into " + folder.path().string() +
                "; wait for it or choose another folder");
  first.reset();
  EXPECT_NO_THROW(const FolderLock third(folder.path(), "another run"));
}

TEST(FolderLock, IsTakenOnlyWhenFree) {
  const test::TemporaryFolder folder;
  std::unique_ptr<FolderLock> first = FolderLock::TakeIfFree(folder.path());
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(FolderLock::TakeIfFree(folder.path()), nullptr);
  EXPECT_NE(ErrorOf([&] { const FolderLock second(folder.path(), "another run"); }), "");
  first.reset();
  EXPECT_NE(FolderLock::TakeIfFree(folder.path()), nullptr);
}

TEST(FolderLock, OtherFolderIsFree) {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder other;
  const FolderLock first(folder.path(), "another run");
  EXPECT_NO_THROW(const FolderLock second(other.path(), "another run"));
}

TEST(FolderLock, KilledHolderLeavesTheFolderFree) {
  const test::TemporaryFolder folder;
  const ::pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(folder.path(), "another run");
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_NO_THROW(const FolderLock lock(folder.path(), "another run"));
}

}  // namespace
}  // namespace millrace
