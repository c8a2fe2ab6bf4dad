#include "storage/tar_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/tar_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using millrace::testing::ReadTar;
using ::testing::HasSubstr;

std::vector<std::byte> Bytes(std::size_t count, int first) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return bytes;
}

TEST(TarWriter, MembersAreReadAgain) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.tar";
  TarWriter tar(path);
  const std::size_t sizes[] = {0, 1, 511, 512, 513, 5000};
  for (const std::size_t size : sizes) tar.Add(std::to_string(size), Bytes(size, 3));
  const std::string longest(100, 'x');
  tar.Add(longest, Bytes(7, 9));
  tar.Close();
  const auto members = ReadTar(path, "");
  ASSERT_EQ(members.size(), 7u);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(members[i].name, std::to_string(sizes[i]));
    EXPECT_EQ(members[i].bytes, Bytes(sizes[i], 3));
  }
  EXPECT_EQ(members[6].name, longest);
}

TEST(TarWriter, TarsWithinATarAreWholeTars) {
  const test::TemporaryFolder folder;
  TarWriter tar(folder / "outer.tar");
  for (int inner = 0; inner < 3; ++inner) {
    tar.BeginTar(std::to_string(inner) + ".tar");
    for (int i = 0; i < inner; ++i) tar.Add("picture", Bytes(1000, inner + i));
    tar.EndTar();
  }
  tar.Add("behind", Bytes(3, 1));
  tar.Close();
  const auto outer = ReadTar(folder / "outer.tar", "");
  ASSERT_EQ(outer.size(), 4u);
  for (int inner = 0; inner < 3; ++inner) {
    const auto& member = outer[static_cast<std::size_t>(inner)];
    EXPECT_EQ(member.name, std::to_string(inner) + ".tar");
    test::WriteBytes(folder / "inner.tar", member.bytes);
    const auto members = ReadTar(folder / "inner.tar", "");
    ASSERT_EQ(members.size(), static_cast<std::size_t>(inner));
    for (int i = 0; i < inner; ++i) {
      EXPECT_EQ(members[static_cast<std::size_t>(i)].bytes, Bytes(1000, inner + i));
    }
  }
  EXPECT_EQ(outer[3].name, "behind");
}

TEST(TarWriter, UnfinishedTarLeavesNothing) {
  const test::TemporaryFolder folder;
  {
    TarWriter tar(folder / "a.tar");
    tar.BeginTar("inner.tar");
    tar.Add("picture", Bytes(1000, 1));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TarWriter, PlaceThatCannotBeWrittenIsNamed) {
  EXPECT_THAT(test::ErrorOf([] { TarWriter("/nowhere/at/all.tar"); }),
              HasSubstr("cannot create /nowhere/at/all.tar.tmp"));
}

}  // namespace
}  // namespace millrace::storage
