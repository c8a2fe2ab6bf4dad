#include "base/private_folder.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

TEST(PrivateFolder, CreatedWithItsParentsForThisUserAlone) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a" / "b";
  CreatePrivateFolder(path);
  EXPECT_EQ(ModeOf(path), 0700U);
  CreatePrivateFolder(path);  // there already
}

TEST(PrivateFolder, WhatOthersCanEnterIsRefused) {
  const test::TemporaryFolder folder;
  const auto open = folder.path() / "open";
  ASSERT_EQ(::mkdir(open.c_str(), 0700), 0);
  ASSERT_EQ(::chmod(open.c_str(), 0750), 0);
  EXPECT_THAT(test::ErrorOf([&] { CreatePrivateFolder(open); }),
              HasSubstr("open: must be a folder of this user that nobody else can enter"));

  const auto target = folder.path() / "target";
  CreatePrivateFolder(target);
  const auto link = folder.path() / "link";
  std::filesystem::create_directory_symlink(target, link);
  EXPECT_THAT(test::ErrorOf([&] { CreatePrivateFolder(link); }), HasSubstr("link: must be"));

  const auto file = folder.path() / "file";
  std::ofstream(file) << "x";
  EXPECT_THAT(test::ErrorOf([&] { CreatePrivateFolder(file); }), HasSubstr("set TMPDIR"));
}

}  // namespace
}  // namespace millrace
