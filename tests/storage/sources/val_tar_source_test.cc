#include "storage/sources/val_tar_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/sources/source_fixture.h"

namespace millrace::storage {
namespace {

using test::TarEntry;
using test::TarEntryKind;
using testing::ElementsAre;
using testing::HasSubstr;

class ValTarTest : public SourceTest {
 protected:
  SourceOptions Labels(std::string_view text) const {
    return {.devkit = Write("labels.txt", text), .classes = {}, .part = {}};
  }
  std::string WriteTar(const std::vector<TarEntry>& entries) const {
    return Write("val.tar", test::MakeTar(entries)).string();
  }
};

TEST_F(ValTarTest, LabelsGoByTheOrderOfTheNamesAndItemsByThatOfTheTar) {
  const std::string tar = WriteTar({{.name = "val/3.JPEG", .bytes = Bytes("three")},
                                    {.name = "._1.JPEG", .bytes = Bytes("mac")},
                                    {.name = "val/1.JPEG", .bytes = Bytes("one")},
                                    {.name = "val/2.JPEG", .bytes = Bytes("two")},
                                    {.name = "val/0.txt", .bytes = Bytes("zero")}});
  const auto source = OpenSource(tar, Labels("b\na\nc\n"));
  auto items = Drain(*source);
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].path, "c/3.JPEG");
  EXPECT_EQ(items[1].path, "b/1.JPEG");
  EXPECT_EQ(items[2].path, "a/2.JPEG");
  EXPECT_EQ(items[2].origin, tar + ": val/2.JPEG");
  EXPECT_EQ(TakeContent(items[2]).value(), Bytes("two"));
  EXPECT_THAT(source->ignored(), ElementsAre(tar + ": ._1.JPEG", tar + ": val/0.txt"));
}

TEST_F(ValTarTest, LabelsThatDoNotFitAreAnError) {
  const std::string tar = WriteTar({{.name = "1.JPEG", .bytes = Bytes("one")}});
  EXPECT_EQ(ErrorOf(tar, Labels("a\nb\n")),
            tar + " has 1 pictures, but " + At("labels.txt") +
                " has 2 labels; they must be whole and of the same release");
  EXPECT_EQ(ErrorOf(tar, Labels("2.JPEG a\n")),
            At("labels.txt") + " has no label for 1.JPEG of " + tar);
  const std::string twice = WriteTar(
      {{.name = "a/1.JPEG", .bytes = Bytes("one")}, {.name = "b/1.JPEG", .bytes = Bytes("two")}});
  EXPECT_EQ(ErrorOf(twice, Labels("a\nb\n")),
            twice + " holds 1.JPEG twice, so its labels are not certain");
}

TEST_F(ValTarTest, CutOffOrCompressedTarIsAnError) {
  const std::vector<TarEntry> entries = {{.name = "1.JPEG", .bytes = Bytes("one")},
                                         {.name = "2.JPEG", .bytes = Bytes("two")}};
  const auto whole = test::MakeTar(entries);
  for (std::size_t size = 0; size < 2048 + 512; size += 64) {
    Write("val.tar", std::span(whole).first(size));
    EXPECT_THAT(ErrorOf(At("val.tar"), Labels("a\nb\n")), HasSubstr(At("val.tar"))) << size;
  }
  Write("val.tar", test::MakeTar(entries, test::TarStyle::kUstar, /*gzip=*/true));
  EXPECT_THAT(ErrorOf(At("val.tar"), Labels("a\nb\n")), HasSubstr("unpack it with gunzip first"));
}

}  // namespace
}  // namespace millrace::storage
