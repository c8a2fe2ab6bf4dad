#include "storage/sources/train_tar_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/storage/sources/source_fixture.h"

namespace millrace::storage {
namespace {

using test::TarEntry;
using test::TarEntryKind;
using test::TarStyle;
using testing::ElementsAre;
using testing::HasSubstr;

class TrainTarTest : public SourceTest {
 protected:
  // The tar of a class with one picture.
  static TarEntry ClassTar(const std::string& name) {
    const std::vector<TarEntry> inner = {{.name = "1.JPEG", .bytes = Bytes(name)}};
    return {.name = name, .bytes = test::MakeTar(inner)};
  }
  std::string WriteTar(const std::vector<TarEntry>& entries,
                       TarStyle style = TarStyle::kGnu) const {
    return Write("train.tar", test::MakeTar(entries, style)).string();
  }
};

TEST_F(TrainTarTest, ItemsSayWhereTheyComeFrom) {
  const std::vector<TarEntry> inner = {{.name = "./deep/n01_1.JPEG", .bytes = Bytes("one")}};
  const std::string tar =
      WriteTar({{.name = "train/n01.tar", .bytes = test::MakeTar(inner)}, ClassTar("b c.tar")});
  auto items = Drain(*OpenSource(tar));
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].class_id, "n01");
  EXPECT_EQ(items[0].path, "n01/n01_1.JPEG");
  EXPECT_EQ(items[0].origin, tar + ": train/n01.tar: ./deep/n01_1.JPEG");
  EXPECT_EQ(items[0].bytes, 3u);
  EXPECT_EQ(TakeContent(items[0]).value(), Bytes("one"));
  EXPECT_EQ(items[1].class_id, "b c");
}

TEST_F(TrainTarTest, OddMembersAreListedNotRead) {
  const std::vector<TarEntry> inner = {
      {.name = "folder/", .bytes = {}, .kind = TarEntryKind::kFolder},
      {.name = "._1.JPEG", .bytes = Bytes("mac")},
      {.name = "1.JPEG", .bytes = Bytes("one")},
      {.name = "hard.JPEG", .bytes = {}, .kind = TarEntryKind::kHardLink, .target = "1.JPEG"},
      {.name = "soft.JPEG", .bytes = {}, .kind = TarEntryKind::kSymbolicLink, .target = "/x"},
      {.name = "Thumbs.db", .bytes = Bytes("x")},
      {.name = "..", .bytes = Bytes("x")},
      {.name = "../../\xFF.JPEG", .bytes = Bytes("two")}};
  for (const TarStyle style : {TarStyle::kUstar, TarStyle::kPax, TarStyle::kGnu}) {
    const std::string tar = WriteTar(
        {{.name = "a.tar", .bytes = test::MakeTar(inner, style)},
         {.name = "README", .bytes = Bytes("x")},
         {.name = "._b.tar", .bytes = Bytes("x")},
         {.name = "c.tar", .bytes = {}, .kind = TarEntryKind::kSymbolicLink, .target = "a.tar"}},
        style);
    const auto source = OpenSource(tar);
    const auto items = Drain(*source);
    ASSERT_EQ(items.size(), 2u);
    EXPECT_EQ(items[0].path, "a/1.JPEG");
    EXPECT_EQ(items[1].path, "a/\xFF.JPEG");
    EXPECT_EQ(items[1].content, Bytes("two"));
    EXPECT_THAT(source->ignored(),
                ElementsAre(tar + ": README", tar + ": ._b.tar", tar + ": c.tar (a symbolic link)",
                            tar + ": a.tar: ._1.JPEG", tar + ": a.tar: hard.JPEG (a hard link)",
                            tar + ": a.tar: soft.JPEG (a symbolic link)",
                            tar + ": a.tar: Thumbs.db", tar + ": a.tar: .."));
  }
}

TEST_F(TrainTarTest, ClassesThatCannotBeUsedAreNamed) {
  EXPECT_EQ(ErrorOf(WriteTar({ClassTar("a.tar"), ClassTar("x/a.tar")})),
            At("train.tar") + " holds the class a twice");
  EXPECT_EQ(ErrorOf(WriteTar({ClassTar("a.tar"), ClassTar("\xFF.tar")})),
            At("train.tar") +
                ": the name of \xFF.tar is no class id in UTF-8, as the manifest needs it; unpack "
                "the archive into class folders and rename that one");
  const std::vector<TarEntry> texts = {{.name = "a.txt", .bytes = Bytes("x")}};
  EXPECT_EQ(ErrorOf(WriteTar({{.name = "a.tar", .bytes = test::MakeTar(texts)}})),
            At("train.tar") + ": a.tar holds no pictures");
}

TEST_F(TrainTarTest, CompressedTarIsRefused) {
  const std::vector<TarEntry> entries = {ClassTar("a.tar")};
  Write("train.tar.gz", test::MakeTar(entries, TarStyle::kGnu, /*gzip=*/true));
  EXPECT_EQ(ErrorOf(At("train.tar.gz")),
            At("train.tar.gz") +
                " is compressed, which saves nothing with pictures and hinders reading; unpack it "
                "with gunzip first");
}

TEST_F(TrainTarTest, ClassTarThatIsDamagedIsNamedWithItsArchive) {
  auto inner = test::MakeTar(std::vector<TarEntry>{{.name = "1.JPEG", .bytes = Bytes("one")},
                                                   {.name = "2.JPEG", .bytes = Bytes("two")}});
  auto cut = inner;
  cut.resize(1024 + 512);
  EXPECT_THAT(ErrorOf(WriteTar({{.name = "a.tar", .bytes = cut}})),
              HasSubstr(At("train.tar") + ": a.tar is cut off in 2.JPEG"));
  inner[1024] = std::byte{'x'};
  EXPECT_THAT(ErrorOf(WriteTar({{.name = "a.tar", .bytes = inner}})),
              HasSubstr(At("train.tar") + ": a.tar is damaged at or after 1.JPEG"));
  EXPECT_EQ(
      ErrorOf(WriteTar({{.name = "a.tar", .bytes = Bytes("hello")}})),
      At("train.tar") + ": a.tar is not a tar archive, or is compressed in another way than gzip");
}

TEST_F(TrainTarTest, CutOffArchiveIsFoundWhenItIsOpened) {
  const auto whole = test::MakeTar(std::vector<TarEntry>{ClassTar("a.tar"), ClassTar("b.tar")});
  std::size_t errors = 0;
  for (std::size_t size = 0; size < whole.size(); size += 100) {
    Write("train.tar", std::span(whole).first(size));
    const std::string error = test::ErrorOf([&] { OpenSource(At("train.tar")); });
    if (error.empty()) {
      EXPECT_EQ(Drain(*OpenSource(At("train.tar"))).size(), 2u);
    } else {
      EXPECT_THAT(error, HasSubstr(At("train.tar")));
      ++errors;
    }
  }
  EXPECT_GT(errors, 200u);
}

// A picture announced with 600 MiB, which are there: a hole.
TEST_F(TrainTarTest, PictureThatIsTooLargeIsAFault) {
  constexpr std::uint64_t kBytes = std::uint64_t{600} << 20;
  const std::vector<TarEntry> small = {{.name = "small.JPEG", .bytes = Bytes("small")}};
  auto begin = test::MakeTarHeader("a.tar", 512 + kBytes + 10240);
  const auto inner = test::MakeTarHeader("large.JPEG", kBytes);
  begin.insert(begin.end(), inner.begin(), inner.end());
  Write("train.tar", begin);
  std::filesystem::resize_file(At("train.tar"), begin.size() + kBytes);
  std::ofstream file(At("train.tar"), std::ios::binary | std::ios::app);
  const auto rest = test::MakeTar(small);
  file.write(reinterpret_cast<const char*>(rest.data()), static_cast<std::streamsize>(rest.size()));
  file.write(std::string(1024, '\0').c_str(), 1024);
  file.close();

  auto items = Drain(*OpenSource(At("train.tar")));
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].path, "a/large.JPEG");
  EXPECT_EQ(items[0].bytes, kBytes);
  EXPECT_EQ(TakeContent(items[0]).fault().message,
            "600.0 MiB is more than a picture may have (512.0 MiB)");
  EXPECT_EQ(TakeContent(items[1]).value(), Bytes("small"));
}

}  // namespace
}  // namespace millrace::storage
