#include "storage/sources/open_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/sources/source_fixture.h"

namespace millrace::storage {
namespace {

using test::TarEntry;
using test::WebdatasetStyle;
using testing::ElementsAre;
using testing::HasSubstr;

class OpenSourceTest : public SourceTest {
 protected:
  const std::vector<test::MadePicture> pictures_ = test::MakeSmallPictures(2, 2);
};

TEST_F(OpenSourceTest, KindIsToldByTheContentNotTheName) {
  EXPECT_EQ(OpenSource(Write("a.jpg", test::MakeTrainTar(pictures_)).string())->facts().kind,
            "ImageNet training tar");
  const auto tars = test::MakeWebdataset(pictures_, WebdatasetStyle::kTexts, 1, /*gzip=*/true);
  EXPECT_EQ(OpenSource(Write("ILSVRC2012_img_train.tar", tars[0]).string())->facts().kind,
            "WebDataset");
}

TEST_F(OpenSourceTest, FolderOfTarsIsAWebdataset) {
  WriteTars("wds/train", test::MakeWebdataset(pictures_, WebdatasetStyle::kTexts, 3));
  Write("wds/_info.json", "{}");
  Write("wds/.gitattributes", "");
  const auto source = OpenSource(At("wds"));
  EXPECT_EQ(ContentsOf(Drain(*source)), ContentsOf(pictures_));
  EXPECT_THAT(source->ignored(), ElementsAre(At("wds/_info.json")));
  EXPECT_THAT(OpenSource(At("wds"), {.devkit = {}, .classes = {}, .part = {.index = 1, .count = 2}})
                  ->ignored(),
              ElementsAre());
}

TEST_F(OpenSourceTest, FolderOfSeveralSetsIsAQuestion) {
  const auto tars = test::MakeWebdataset(pictures_, WebdatasetStyle::kTexts, 2);
  WriteTars("wds/imagenet1k-train", tars);
  WriteTars("wds/imagenet1k-validation", tars);
  EXPECT_EQ(UsageErrorOf(At("wds")), At("wds") +
                                         " holds tars of several sets (imagenet1k-train-000.tar, "
                                         "imagenet1k-validation-000.tar); name one set, as in " +
                                         At("wds") + "/train-{000..127}.tar");
  EXPECT_EQ(ContentsOf(Drain(*OpenSource(At("wds/imagenet1k-train-{000..001}.tar")))),
            ContentsOf(pictures_));
}

TEST_F(OpenSourceTest, FolderOfOfficialTarsIsAQuestion) {
  Write("imagenet/ILSVRC2012_img_train.tar", test::MakeTrainTar(pictures_));
  Write("imagenet/ILSVRC2012_img_val.tar", test::MakeValTar(pictures_));
  EXPECT_EQ(UsageErrorOf(At("imagenet")),
            At("imagenet") +
                " holds tars that are no WebDataset; name the one to convert, as in --from " +
                At("imagenet/ILSVRC2012_img_train.tar"));
}

TEST_F(OpenSourceTest, WhatIsNotThereIsNamed) {
  EXPECT_EQ(UsageErrorOf(At("missing")), "there is no file or folder " + At("missing"));
  WriteTars("t", test::MakeWebdataset(pictures_, WebdatasetStyle::kTexts, 2));
  EXPECT_EQ(UsageErrorOf(At("t-{000..002}.tar")), "there is no file " + At("t-002.tar"));
  EXPECT_THAT(UsageErrorOf(At("t-{000..}.tar")), HasSubstr("is no pattern of names"));
  EXPECT_EQ(UsageErrorOf(At("t-000.tar"), {.devkit = At("kit"), .classes = {}, .part = {}}),
            "there is no devkit " + At("kit"));
}

TEST_F(OpenSourceTest, FileThatIsNoSourceIsNamed) {
  EXPECT_EQ(ErrorOf(Write("x", "hello").string()),
            At("x") + " is not a tar archive, or is compressed in another way than gzip");
  const std::vector<TarEntry> texts = {{.name = "._a.JPEG", .bytes = {}},
                                       {.name = "a.txt", .bytes = Bytes("x")}};
  EXPECT_EQ(ErrorOf(Write("x.tar", test::MakeTar(texts)).string()),
            At("x.tar") +
                " holds nothing that is known: neither class tars (ILSVRC2012_img_train.tar) nor "
                "pictures (ILSVRC2012_img_val.tar, WebDataset); it begins with a.txt");
  EXPECT_EQ(ErrorOf(Write("x.tar", test::MakeTar({})).string()),
            At("x.tar") +
                " holds nothing that is known: neither class tars (ILSVRC2012_img_train.tar) nor "
                "pictures (ILSVRC2012_img_val.tar, WebDataset); it is empty");
}

TEST_F(OpenSourceTest, PicturesWithoutClassesAskForTheDevkit) {
  EXPECT_EQ(UsageErrorOf(Write("val.tar", test::MakeValTar(pictures_)).string()),
            At("val.tar") +
                " holds pictures without their classes; for ILSVRC2012_img_val.tar give --devkit "
                "ILSVRC2012_devkit_t12.tar.gz, and unpack a tar of class folders");
}

TEST_F(OpenSourceTest, PatternOfOtherTarsIsRefused) {
  Write("t-0.tar", test::MakeTrainTar(pictures_));
  Write("t-1.tar", test::MakeTrainTar(pictures_));
  EXPECT_EQ(UsageErrorOf(At("t-{0..1}.tar")),
            At("t-0.tar") + " is no WebDataset tar; name other tars one by one");
}

TEST_F(OpenSourceTest, ImageFolderIsListedAsEver) {
  test::MakeFolder(folder_ / "folder", pictures_);
  Write("folder/README", "x");
  Write("folder/n01440764/notes.txt", "x");
  const auto source = OpenSource(At("folder"));
  EXPECT_THAT(source->ignored(),
              ElementsAre(At("folder/README"), At("folder/n01440764/notes.txt")));
  const auto items = Drain(*source);
  EXPECT_EQ(items.front().origin, At("folder/" + items.front().path));
  EXPECT_TRUE(items.front().content.empty());
  EXPECT_THAT(
      UsageErrorOf(
          Write("top/train/a/1.jpg", "x").parent_path().parent_path().parent_path().string()),
      HasSubstr("holds splits, not classes"));
}

TEST_F(OpenSourceTest, FileThatIsTooLargeIsAFault) {
  Write("folder/a/1.jpg", "x");
  std::filesystem::resize_file(At("folder/a/1.jpg"), (std::uint64_t{1} << 29) + 1);
  auto items = Drain(*OpenSource(At("folder")));
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(TakeContent(items[0]).fault().message,
            "512.0 MiB is more than a picture may have (512.0 MiB)");
}

}  // namespace
}  // namespace millrace::storage
