#include "storage/sources/devkit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "storage/sources/synsets.h"
#include "tests/support/error_text.h"
#include "tests/support/source_maker.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using test::MadePicture;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Three pictures of two classes, as the validation tar names them.
std::vector<MadePicture> Pictures() {
  return {{.class_id = "n02", .name = "x", .bytes = {}},
          {.class_id = "n01", .name = "y", .bytes = {}},
          {.class_id = "n02", .name = "z", .bytes = {}}};
}

class DevkitTest : public testing::Test {
 protected:
  fs::path Write(const char* name, std::string_view text) const {
    test::WriteText(folder_ / name, text);
    return folder_ / name;
  }
  fs::path Write(const char* name, const std::vector<std::byte>& bytes) const {
    test::WriteBytes(folder_ / name, bytes);
    return folder_ / name;
  }

  std::string ErrorOf(const fs::path& path) const {
    return test::ErrorOf([&] { ReadDevkit(path); });
  }

  test::TemporaryFolder folder_;
};

TEST_F(DevkitTest, PackedAndUnpackedDevkitsAreTheSame) {
  const fs::path packed = Write("devkit.tar.gz", test::MakeDevkit(Pictures()));
  Write("ILSVRC2012_devkit_t12/data/meta.mat", test::MakeMetaMat(Pictures()));
  Write("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
        test::MakeGroundTruth(Pictures()));
  const fs::path unpacked = folder_ / "ILSVRC2012_devkit_t12";
  for (const fs::path& path : {packed, unpacked, unpacked / "data", folder_.path()}) {
    const Devkit devkit = ReadDevkit(path);
    EXPECT_THAT(devkit.labels, ElementsAre("n02", "n01", "n02")) << path;
    EXPECT_THAT(devkit.labels_by_name, IsEmpty());
    EXPECT_THAT(devkit.classes.ids, ElementsAre("n01", "n02"));
    EXPECT_THAT(devkit.classes.names, ElementsAre(testing::Pair("n01", "words of n01, and more"),
                                                  testing::Pair("n02", "words of n02, and more")));
  }
}

TEST_F(DevkitTest, NumbersOfTheGroundTruthMeanSynsetsWithoutChildren) {
  // 1 is n02 and 2 is n01 in what MakeMetaMat makes; 3 to 5 have children.
  const fs::path data = Write("data/meta.mat", test::MakeMetaMat(Pictures())).parent_path();
  const fs::path truth = Write("data/ILSVRC2012_validation_ground_truth.txt", "2\r\n1\n\n");
  EXPECT_THAT(ReadDevkit(data).labels, ElementsAre("n01", "n02"));
  for (const char* line : {"3", "0", "-1", "n01", "1 2", "99999999999999999999"}) {
    Write("data/ILSVRC2012_validation_ground_truth.txt", std::string("1\n") + line + "\n");
    EXPECT_EQ(ErrorOf(data), truth.string() + ", line 2: \"" + line +
                                 "\" is not the ILSVRC2012_ID of a class in " +
                                 (data / "meta.mat").string());
  }
}

TEST_F(DevkitTest, DevkitWithoutGroundTruthIsGoodForNames) {
  const fs::path data = Write("data/meta.mat", test::MakeMetaMat(Pictures())).parent_path();
  const Devkit devkit = ReadDevkit(data);
  EXPECT_EQ(devkit.classes.names.size(), 2u);
  EXPECT_EQ(test::ErrorOf([&] { LabelPictures(devkit, {"x"}, "val.tar"); }),
            data.string() +
                " holds no ILSVRC2012_validation_ground_truth.txt, so the pictures of "
                "val.tar have no labels");
}

TEST_F(DevkitTest, NumbersMeanNothingWithoutMetaMat) {
  const fs::path truth = Write("data/ILSVRC2012_validation_ground_truth.txt", "490\n361\n");
  EXPECT_EQ(
      ErrorOf(truth),
      truth.string() +
          ", line 1: \"490\" is a number, and only the devkit says which class it means; give "
          "ILSVRC2012_devkit_t12.tar.gz, or class ids as in \"n01440764\"");
  const fs::path caffe = Write("val.txt", "ILSVRC2012_val_00000001.JPEG 65\n");
  EXPECT_THAT(ErrorOf(caffe), HasSubstr("line 1: \"65\" is a number"));
  EXPECT_EQ(ErrorOf(truth.parent_path()),
            truth.parent_path().string() +
                " holds no meta.mat, which says what the numbers of the devkit mean; give "
                "ILSVRC2012_devkit_t12.tar.gz or the folder unpacked from it");
}

TEST_F(DevkitTest, LabelsInOrderOfTheNamesAreRead) {
  const Devkit devkit = ReadDevkit(Write("labels.txt", "n02\nn01\r\nn02\n"));
  EXPECT_THAT(LabelPictures(devkit, {"a", "b", "c"}, "val.tar"), ElementsAre("n02", "n01", "n02"));
  EXPECT_EQ(test::ErrorOf([&] {
              LabelPictures(devkit, {"a", "b"}, "val.tar");
            }),
            "val.tar has 2 pictures, but " + devkit.origin +
                " has 3 labels; they must be whole and of the same release");
}

TEST_F(DevkitTest, LabelsByNameAreReadInAnyOrder) {
  const Devkit devkit = ReadDevkit(Write("labels.txt", "b.JPEG n02\na\tn01\nmy pic.jpg  n03\n"));
  EXPECT_THAT(LabelPictures(devkit, {"a.JPEG", "b.JPEG", "my pic.jpg"}, "val.tar"),
              ElementsAre("n01", "n02", "n03"));
  EXPECT_EQ(test::ErrorOf([&] { LabelPictures(devkit, {"c.JPEG"}, "val.tar"); }),
            devkit.origin + " has no label for c.JPEG of val.tar");
}

TEST_F(DevkitTest, LinesThatAreNoLabelsAreNamed) {
  const auto error = [this](std::string_view text) {
    const std::string origin = (folder_ / "labels.txt").string();
    std::string result = ErrorOf(Write("labels.txt", text));
    return result.starts_with(origin) ? result.substr(origin.size()) : result;
  };
  EXPECT_EQ(error(""), " holds no labels");
  EXPECT_EQ(error("n01\n\nn02\n"),
            ", line 2: no label; lines are expected as \"n01440764\" or "
            "\"ILSVRC2012_val_00000001.JPEG n01440764\"");
  EXPECT_EQ(error("n01\na n02\n"), ", line 2: lines with a name and lines without one are mixed");
  EXPECT_EQ(error("a n02\nn01\n"), ", line 2: lines with a name and lines without one are mixed");
  EXPECT_EQ(error("a n01\na n02\n"), ", line 2: the picture is there twice");
}

TEST_F(DevkitTest, WhatIsNoDevkitIsNamed) {
  const std::string missing = (folder_ / "missing").string();
  EXPECT_EQ(ErrorOf(missing), "there is no devkit " + missing);
  auto packed = test::MakeDevkit(Pictures());
  packed.resize(packed.size() / 2);
  const fs::path cut = Write("cut.tar.gz", packed);
  EXPECT_THAT(ErrorOf(cut),
              AllOf(StartsWith(cut.string() + " holds no tar archive or is damaged ("),
                    EndsWith("copy or download the archive again and compare the "
                             "checksums")));
}

std::string SynsetError(std::string_view text) {
  return test::ErrorOf([&] { ParseSynsets(std::as_bytes(std::span(text)), "meta.mat"); });
}

TEST(Synsets, WhatIsNoMetaMatIsNamed) {
  EXPECT_EQ(
      SynsetError(""),
      "meta.mat has no struct array \"synsets\"; is it the meta.mat of ILSVRC2012_devkit_t12?");
  EXPECT_EQ(SynsetError(std::string(1000, 'x')), "meta.mat is not a MATLAB file");
  auto bytes = test::MakeMetaMat(Pictures());
  bytes.resize(bytes.size() / 2);
  EXPECT_THAT(test::ErrorOf([&] { ParseSynsets(bytes, "meta.mat"); }), StartsWith("meta.mat"));
}

}  // namespace
}  // namespace millrace::storage
