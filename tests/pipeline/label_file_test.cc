#include "pipeline/label_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "pipeline/convert.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;
using ByPath = std::map<std::string, std::vector<std::int64_t>>;

// The pictures of `classes`, two of each, called as those of ImageNet's validation set.
class LabelFileTest : public testing::Test {
 protected:
  void SetUp() override { Make({"ant", "bee", "cat"}); }

  void Make(const std::vector<std::string>& classes) {
    std::filesystem::remove_all(folder_ / "from");
    std::filesystem::remove_all(folder_ / "set");
    std::uint64_t number = 0;
    for (const std::string& id : classes) {
      for (int i = 0; i < 2; ++i) {
        ++number;
        test::WriteBytes(folder_ / "from" / id / fmt::format("ILSVRC2012_val_{:08}.JPEG", number),
                         test::MakeJpeg({.seed = number}));
      }
    }
    Convert({.sources = {folder_ / "from"}, .to = folder_ / "set", .split = "val"});
  }

  // By the paths of the samples, those without labels left out.
  ByPath Read(const std::string& name, const std::string& text) const {
    test::WriteText(folder_ / name, text);
    const storage::SplitReader split(folder_ / "set", "val");
    const auto labels = ReadLabelFile(folder_ / name, split);
    EXPECT_EQ(labels.size(), split.size());
    ByPath by_path;
    for (std::uint64_t id = 0; id < split.size(); ++id) {
      if (labels[id].empty()) continue;
      by_path[std::string(split.Peek(id)->path)] = labels[id];
    }
    return by_path;
  }

  // What is wrong, behind the file's path.
  std::string ErrorOf(const std::string& name, const std::string& text) const {
    std::string error = test::ErrorOf([&] { Read(name, text); });
    const std::string path = (folder_ / name).string();
    EXPECT_TRUE(error.starts_with(path)) << error;
    for (std::size_t at; (at = error.find(path)) != error.npos;)
      error.replace(at, path.size(), "F");
    return error;
  }

  const test::TemporaryFolder folder_;
};

TEST_F(LabelFileTest, ListIsInTheOrderOfTheNumbersInTheNames) {
  EXPECT_THAT(Read("real.json", "[[0], [], [2, 1, 2], [1], [0, 1], [2], [1]]"),
              UnorderedElementsAre(Pair("ant/ILSVRC2012_val_00000001.JPEG", ElementsAre(0)),
                                   Pair("bee/ILSVRC2012_val_00000003.JPEG", ElementsAre(1, 2)),
                                   Pair("bee/ILSVRC2012_val_00000004.JPEG", ElementsAre(1)),
                                   Pair("cat/ILSVRC2012_val_00000005.JPEG", ElementsAre(0, 1)),
                                   Pair("cat/ILSVRC2012_val_00000006.JPEG", ElementsAre(2))));
}

TEST_F(LabelFileTest, ObjectAndLinesSayTheSameByPathsOrNamesIdsOrNumbers) {
  const auto expected =
      UnorderedElementsAre(Pair("ant/ILSVRC2012_val_00000001.JPEG", ElementsAre(1)),
                           Pair("bee/ILSVRC2012_val_00000003.JPEG", ElementsAre(0, 2)));
  EXPECT_THAT(Read("labels.json", R"({
    "ant/ILSVRC2012_val_00000001.JPEG": 1,
    "ILSVRC2012_val_00000003.JPEG": ["cat", 0],
    "ILSVRC2012_val_00000004.JPEG": []})"),
              expected);
  EXPECT_THAT(Read("labels.txt",
                   "ant/ILSVRC2012_val_00000001.JPEG bee\r\n"
                   "\n"
                   "ILSVRC2012_val_00000003.JPEG\t2  0 \n"
                   "ILSVRC2012_val_00000004.JPEG"),
              expected);
}

TEST_F(LabelFileTest, PathWithBlanksEndsAtTheTab) {
  test::WriteBytes(folder_ / "from/ant/my own.JPEG", test::MakeJpeg({.seed = 99}));
  std::filesystem::remove_all(folder_ / "set");
  Convert({.sources = {folder_ / "from"}, .to = folder_ / "set", .split = "val"});
  EXPECT_THAT(Read("labels.txt", "ant/my own.JPEG\tcat\n"),
              UnorderedElementsAre(Pair("ant/my own.JPEG", ElementsAre(2))));
}

TEST_F(LabelFileTest, NumbersOfOtherClassesAreRefused) {
  EXPECT_EQ(ErrorOf("real.json", "[[0], [1], [2], [3, 0], [1], [1]]"),
            "F, entry 4 (ILSVRC2012_val_00000004): there is no class 3: the dataset has 3 classes, "
            "numbered from 0 in the order of their ids");
  EXPECT_EQ(ErrorOf("real.json", "[[0], [1], [1], [0], [1], [1]]"),
            "F is about classes 0 to 1, but the dataset has 3 classes");
  EXPECT_EQ(ErrorOf("a.txt", "ILSVRC2012_val_00000001.JPEG 0\nILSVRC2012_val_00000002.JPEG 1000\n"),
            "F, line 2: there is no class 1000: the dataset has 3 classes, numbered from 0 in the "
            "order of their ids");
  EXPECT_EQ(ErrorOf("a.json", R"({"ILSVRC2012_val_00000001.JPEG": -1})"),
            "F, ILSVRC2012_val_00000001.JPEG: -1 is neither a class number nor a class id");
  EXPECT_EQ(ErrorOf("a.txt", "ILSVRC2012_val_00000001.JPEG bea\n"),
            "F, line 1: the dataset has no class \"bea\"; did you mean \"bee\"?");
}

// Sorted as texts, "10" comes before "2".
TEST_F(LabelFileTest, NumbersAreRefusedWhereTheyMayBeIds) {
  Make({"2", "10", "1"});
  EXPECT_EQ(ErrorOf("a.txt", "ILSVRC2012_val_00000001.JPEG 2\n"),
            "F, line 1: 2 may be a number or an id: the dataset's class ids are numbers in another "
            "order (class number 0 has the id \"1\"); convert it with --classes, a list of the ids "
            "that the numbers mean");
  Make({"0", "1", "2"});
  EXPECT_THAT(Read("a.txt", "ILSVRC2012_val_00000001.JPEG 2\n"),
              UnorderedElementsAre(Pair("0/ILSVRC2012_val_00000001.JPEG", ElementsAre(2))));
}

TEST_F(LabelFileTest, PathsThatAreNotThereOrThereTwiceAreRefused) {
  EXPECT_EQ(ErrorOf("a.txt", "ILSVRC2012_val_00000001.JPEG 2\nant/x.JPEG 0\n"),
            "F, line 2: the split has no sample ant/x.JPEG");
  EXPECT_EQ(ErrorOf("a.json", R"({"a": 0, "b": 1, "c": 2})"),
            "F: the split has no sample a, and 2 other paths are not there either");
  EXPECT_EQ(ErrorOf("a.txt", "a 2\nb 0\na 1\n"),
            "F, line 3: a is there twice, before in F, line 1");
  test::WriteBytes(folder_ / "from/bee/ILSVRC2012_val_00000001.JPEG", test::MakeJpeg({.seed = 50}));
  std::filesystem::remove_all(folder_ / "set");
  Convert({.sources = {folder_ / "from"}, .to = folder_ / "set", .split = "val"});
  EXPECT_THAT(ErrorOf("a.txt", "ILSVRC2012_val_00000001.JPEG 0\n"),
              testing::AllOf(testing::StartsWith("F, line 1: two samples are called "
                                                 "ILSVRC2012_val_00000001.JPEG: "),
                             testing::HasSubstr("ant/ILSVRC2012_val_00000001.JPEG"),
                             testing::HasSubstr("bee/ILSVRC2012_val_00000001.JPEG"),
                             testing::EndsWith("; give their paths")));
}

TEST_F(LabelFileTest, ListIsRefusedForPicturesOfOtherNamesOrNumbers) {
  EXPECT_THAT(ErrorOf("real.json", "[[0], [1], [2], [0], [1]]"),
              testing::AllOf(testing::StartsWith("F has 5 entries, none for sample "),
                             testing::EndsWith(", cat/ILSVRC2012_val_00000006.JPEG")));
  std::filesystem::remove_all(folder_ / "from");
  std::filesystem::remove_all(folder_ / "set");
  test::MakeImageFolder(folder_ / "from", 3, 1);
  Convert({.sources = {folder_ / "from"}, .to = folder_ / "set", .split = "val"});
  EXPECT_THAT(
      ErrorOf("real.json", "[[0], [1], [2]]"),
      testing::MatchesRegex("F is a list in the order of ImageNet's validation set, but sample 0, "
                            "n00./n00._0.JPEG, is not called ILSVRC2012_val_00000001.JPEG or the "
                            "like; a list of paths with their labels goes with any names"));
}

TEST_F(LabelFileTest, WhatIsNoListOfLabelsIsRefused) {
  const std::string neither =
      "F holds neither a JSON list of lists of labels nor a JSON object of paths with labels";
  EXPECT_EQ(ErrorOf("a.json", "[[0], "), neither);
  EXPECT_EQ(ErrorOf("a.json", "7"), neither);
  EXPECT_EQ(ErrorOf("real.json", "[[0], 1]"),
            "F, entry 2 (ILSVRC2012_val_00000002): is no list of class numbers");
  EXPECT_EQ(ErrorOf("a.txt", ""), "F has no labels for any sample of the split");
  EXPECT_EQ(ErrorOf("a.txt", "ILSVRC2012_val_00000001.JPEG"),
            "F has no labels for any sample of the split");
  const storage::SplitReader split(folder_ / "set", "val");
  EXPECT_THAT(test::ErrorOf([&] { ReadLabelFile(folder_ / "nowhere", split); }),
              testing::HasSubstr((folder_ / "nowhere").string()));
}

}  // namespace
}  // namespace millrace::pipeline
