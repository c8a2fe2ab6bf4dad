#include "storage/sources/tar_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/error_text.h"
#include "tests/support/source_maker.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using test::TarEntry;
using test::TarEntryKind;
using test::TarStyle;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::byte> Repeated(char value, std::size_t count) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

struct Read {
  std::string name;
  std::string_view oddity;
  std::vector<std::byte> bytes;
};

class TarReaderTest : public testing::Test {
 protected:
  std::shared_ptr<const InputFile> File(std::span<const std::byte> bytes) const {
    test::WriteBytes(path(), bytes);
    return std::make_shared<const InputFile>(path());
  }

  // All members with their contents.
  std::vector<Read> ReadAll(std::span<const std::byte> bytes) const {
    TarReader reader(File(bytes));
    std::vector<Read> all;
    while (const auto member = reader.Next()) {
      all.push_back({.name = member->name, .oddity = member->oddity, .bytes = {}});
      if (!member->oddity.empty()) continue;
      all.back().bytes = reader.Read();
      EXPECT_EQ(all.back().bytes.size(), member->bytes);
    }
    return all;
  }

  std::string ErrorOf(std::span<const std::byte> bytes) const {
    return test::ErrorOf([&] { ReadAll(bytes); });
  }

  std::filesystem::path path() const { return folder_ / "x.tar"; }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(TarReaderTest, NamesAndContentsAreThoseOfTheMakerInEveryStyle) {
  const std::string long_name = std::string(90, 'd') + "/" + std::string(90, 'f') + ".JPEG";
  const std::string longer = std::string(200, 'd') + "/" + std::string(180, 'f') + ".JPEG";
  for (const TarStyle style : {TarStyle::kUstar, TarStyle::kPax, TarStyle::kGnu}) {
    std::vector<TarEntry> entries = {
        {.name = "a.JPEG", .bytes = Repeated('a', 1)},
        {.name = "folder/", .bytes = {}, .kind = TarEntryKind::kFolder},
        {.name = "empty.JPEG", .bytes = {}},
        {.name = long_name, .bytes = Repeated('b', 511)},
        {.name = "ü/é.JPEG", .bytes = Repeated('c', 512)},
        {.name = "not utf-8 \xE9.JPEG", .bytes = Repeated('d', 513)},
        {.name = "/../../z.JPEG", .bytes = Repeated('e', 9999)}};
    if (style != TarStyle::kUstar) entries.push_back({.name = longer, .bytes = Repeated('f', 3)});
    for (const bool gzip : {false, true}) {
      const auto all = ReadAll(test::MakeTar(entries, style, gzip));
      std::vector<TarEntry> expected = entries;
      expected.erase(expected.begin() + 1);
      ASSERT_EQ(all.size(), expected.size());
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(all[i].name, expected[i].name);
        EXPECT_EQ(all[i].bytes, expected[i].bytes) << all[i].name;
        EXPECT_EQ(all[i].oddity, "");
      }
    }
  }
}

TEST_F(TarReaderTest, LinksAreOddAndDoNotShiftWhatFollows) {
  const std::vector<TarEntry> entries = {
      {.name = "a", .bytes = Repeated('a', 700)},
      {.name = "hard", .bytes = {}, .kind = TarEntryKind::kHardLink, .target = "a"},
      {.name = "soft", .bytes = {}, .kind = TarEntryKind::kSymbolicLink, .target = "/etc/passwd"},
      {.name = "b", .bytes = Repeated('b', 5)}};
  for (const TarStyle style : {TarStyle::kUstar, TarStyle::kPax, TarStyle::kGnu}) {
    const auto all = ReadAll(test::MakeTar(entries, style));
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[1].oddity, "a hard link");
    EXPECT_EQ(all[2].oddity, "a symbolic link");
    EXPECT_EQ(all[3].bytes, Repeated('b', 5));
  }
}

TEST_F(TarReaderTest, TarWithinAFileIsReadWhereItLies) {
  const std::vector<TarEntry> inner = {{.name = "1", .bytes = Repeated('1', 1000)},
                                       {.name = "2", .bytes = Repeated('2', 2000)}};
  const auto tar = test::MakeTar(inner);
  auto bytes = Repeated('x', 777);
  bytes.insert(bytes.end(), tar.begin(), tar.end());
  bytes.resize(bytes.size() + 333, std::byte{'y'});
  TarReader reader(File(bytes), 777, tar.size(), "outer: inner");
  EXPECT_EQ(reader.name(), "outer: inner");
  EXPECT_EQ(reader.Next()->offset, 777u + 512u);
  EXPECT_EQ(reader.Read(), Repeated('1', 1000));
  EXPECT_EQ(reader.Next()->name, "2");
  EXPECT_EQ(reader.Read(), Repeated('2', 2000));
  EXPECT_EQ(reader.position(), 777u + 512u + 1024u + 512u);
  EXPECT_FALSE(reader.Next());
}

TEST_F(TarReaderTest, TarsInARowAreReadAsOne) {
  const std::vector<TarEntry> first = {{.name = "1", .bytes = Repeated('1', 10)}};
  const std::vector<TarEntry> second = {{.name = "2", .bytes = Repeated('2', 20)}};
  auto bytes = test::MakeTar(first);
  const auto more = test::MakeTar(second, TarStyle::kPax);
  bytes.insert(bytes.end(), more.begin(), more.end());
  const auto all = ReadAll(bytes);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].bytes, Repeated('2', 20));
}

TEST_F(TarReaderTest, CutOffAnywhereIsAnErrorWithTheName) {
  const std::vector<TarEntry> entries = {{.name = "first.JPEG", .bytes = Repeated('1', 700)},
                                         {.name = "second.JPEG", .bytes = Repeated('2', 1500)}};
  // Headers, contents and their padding; then the end mark.
  constexpr std::size_t kContent = 512 + 1024 + 512 + 1536;
  for (const TarStyle style : {TarStyle::kUstar, TarStyle::kGnu}) {
    const auto whole = test::MakeTar(entries, style);
    // Every end of a block and one byte more, and some within.
    for (std::size_t size = 0; size < whole.size(); size += size % 512 == 0 ? 1 : 16 - size % 16) {
      const auto cut = std::span(whole).first(size);
      const std::string error = ErrorOf(cut);
      if (size < kContent + 512 || !error.empty()) {
        EXPECT_THAT(error, HasSubstr("x.tar")) << size;
      } else {
        EXPECT_EQ(ReadAll(cut).size(), 2u) << size;
      }
    }
  }
  const auto whole = test::MakeTar(entries);
  EXPECT_EQ(ErrorOf(std::span(whole).first(2500)),
            path().string() +
                " is cut off in second.JPEG, of whose 1.5 KiB only 452 B are there; copy or "
                "download the archive again and compare the checksums");
  EXPECT_EQ(ErrorOf(std::span(whole).first(512 + 1024)),
            path().string() +
                " ends after first.JPEG without the end mark of a tar, so it is probably cut off; "
                "copy or download the archive again and compare the checksums (if it is known to "
                "be whole, `head -c 1024 /dev/zero >> FILE` adds the mark)");
}

TEST_F(TarReaderTest, CompressedTarThatIsCutOffAnywhereIsAnError) {
  const std::vector<TarEntry> entries = {{.name = "first.JPEG", .bytes = Repeated('1', 700)},
                                         {.name = "second.JPEG", .bytes = Repeated('2', 1500)}};
  const auto whole = test::MakeTar(entries, TarStyle::kUstar, /*gzip=*/true);
  // The last 8 bytes, checksum and length, come after all that is of use.
  for (std::size_t size = 0; size + 9 < whole.size(); ++size) {
    EXPECT_THAT(ErrorOf(std::span(whole).first(size)), HasSubstr("x.tar")) << size;
  }
}

TEST_F(TarReaderTest, FlippedBitsNeverCrashAndDamagedHeadersAreErrors) {
  const std::vector<TarEntry> entries = {{.name = "first.JPEG", .bytes = Repeated('1', 10)},
                                         {.name = "second.JPEG", .bytes = Repeated('2', 10)}};
  for (const TarStyle style : {TarStyle::kUstar, TarStyle::kPax, TarStyle::kGnu}) {
    auto bytes = test::MakeTar(entries, style);
    for (std::size_t at = 0; at < 3072; at += 3) {
      const int bit = static_cast<int>(at % 8);
      bytes[at] ^= std::byte{1} << bit;
      const std::string error = ErrorOf(bytes);
      const bool header = at < 512 || (at >= 1024 && at < 1536);
      // The checksum's first digit is a zero, which may be a blank, and its last two bytes are not
      // part of the number.
      const bool unimportant = at % 512 == 148 || at % 512 == 154 || at % 512 == 155;
      if (style == TarStyle::kUstar && header && !unimportant) {
        EXPECT_THAT(error, AllOf(HasSubstr("x.tar"),
                                 testing::AnyOf(HasSubstr("damaged"), HasSubstr("not a tar"))))
            << at;
      }
      bytes[at] ^= std::byte{1} << bit;
    }
  }
}

TEST_F(TarReaderTest, DamageIsNamedWithWhatComesBeforeIt) {
  const std::vector<TarEntry> entries = {{.name = "first.JPEG", .bytes = Repeated('1', 10)},
                                         {.name = "second.JPEG", .bytes = Repeated('2', 10)}};
  auto bytes = test::MakeTar(entries);
  bytes[1024] = std::byte{'S'};
  EXPECT_THAT(ErrorOf(bytes),
              AllOf(StartsWith(path().string() + " is damaged at or after first.JPEG ("),
                    EndsWith("); copy or download the archive again and compare the checksums")));
}

// libarchive fills what a file lacks with zeros: 100 MB of them here.
TEST_F(TarReaderTest, SizeThatOnlyAnAttributeClaimsIsAnError) {
  auto bytes = test::MakeTarHeader("attributes", 33, 'x');
  std::string text = "33 GNU.sparse.realsize=100000000\n";
  ASSERT_EQ(text.size(), 33u);
  text.resize(512);
  const auto attributes = std::as_bytes(std::span(text));
  bytes.insert(bytes.end(), attributes.begin(), attributes.end());
  const auto header = test::MakeTarHeader("a.JPEG", 3);
  bytes.insert(bytes.end(), header.begin(), header.end());
  bytes.resize(bytes.size() + 3, std::byte{'a'});
  bytes.resize(bytes.size() + 509 + 1024);
  const std::string advice = "; copy or download the archive again and compare the checksums";
  EXPECT_EQ(
      ErrorOf(bytes),
      path().string() + " is cut off in a.JPEG, of whose 95.4 MiB only 1.5 KiB are there" + advice);
  EXPECT_EQ(ErrorOf(test::Gzip(bytes)),
            path().string() +
                " is damaged in a.JPEG, whose content is not the 95.4 MiB that its header says" +
                advice);
}

TEST_F(TarReaderTest, WhatIsNoTarIsNamed) {
  const std::string expected =
      path().string() + " is not a tar archive, or is compressed in another way than gzip";
  EXPECT_EQ(ErrorOf({}), expected);
  EXPECT_EQ(ErrorOf(Repeated('x', 10)), expected);
  EXPECT_EQ(ErrorOf(Repeated('x', 10'000)), expected);
  EXPECT_EQ(ErrorOf(test::MakeJpeg()), expected);
}

TEST_F(TarReaderTest, FileThatCannotBeReadIsNamed) {
  EXPECT_EQ(test::ErrorOf([&] { InputFile file(path()); }),
            "cannot open " + path().string() + ": No such file or directory");
  std::filesystem::create_directory(path());
  EXPECT_EQ(test::ErrorOf([&] { InputFile file(path()); }),
            "cannot read " + path().string() + ": not a regular file");
}

}  // namespace
}  // namespace millrace::storage
