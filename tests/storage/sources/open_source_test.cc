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

// ImageNet-V2 has a folder for each class number.
TEST_F(OpenSourceTest, FoldersNamedByNumbersAreThoseOfTheClassList) {
  const SourceOptions listed{.devkit = {}, .classes = Write("ids", "b\na\nc\n"), .part = {}};
  for (const char* name : {"0", "1", "2"}) Write(std::string("set/") + name + "/x.jpg", name);
  const auto classes_of = [&](const SourceOptions& options) {
    const auto source = OpenSource(At("set"), options);
    std::vector<std::string> paths;
    for (const SourceItem& item : Drain(*source)) paths.push_back(item.path);
    return paths;
  };
  EXPECT_THAT(classes_of(listed), ElementsAre("b/x.jpg", "a/x.jpg", "c/x.jpg"));
  EXPECT_THAT(OpenSource(At("set"), listed)->facts().class_ids, ElementsAre("a", "b", "c"));
  EXPECT_THAT(classes_of({}), ElementsAre("0/x.jpg", "1/x.jpg", "2/x.jpg"));
  // Ids that are numbers themselves are meant as such.
  EXPECT_THAT(classes_of({.devkit = {}, .classes = Write("numbers", "2\n1\n0\n"), .part = {}}),
              ElementsAre("0/x.jpg", "1/x.jpg", "2/x.jpg"));
  // Another list is another source.
  const SourceOptions other{.devkit = {}, .classes = Write("other", "a\nb\nc\n"), .part = {}};
  EXPECT_NE(OpenSource(At("set"), listed)->facts().identity,
            OpenSource(At("set"), other)->facts().identity);
}

TEST_F(OpenSourceTest, FoldersNamedByNumbersThatTheListDoesNotHaveAreRefused) {
  const SourceOptions listed{.devkit = {}, .classes = Write("ids", "b\na\n"), .part = {}};
  Write("far/0/x.jpg", "x");
  Write("far/2/x.jpg", "x");
  EXPECT_EQ(ErrorOf(At("far"), listed), "there is a class folder " + At("far/2") + ", but " +
                                            At("ids") + " lists 2 classes, numbered from 0");
  Write("twice/1/x.jpg", "x");
  Write("twice/01/x.jpg", "x");
  EXPECT_EQ(ErrorOf(At("twice"), listed), "the class folders " + At("twice/01") + " and " +
                                              At("twice/1") + " mean the same class, a");
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
