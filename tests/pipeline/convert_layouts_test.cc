// The same pictures in every layout in which people have them, and shared among workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "pipeline/convert.h"
#include "pipeline/synth.h"
#include "storage/split_reader.h"
#include "tests/pipeline/convert_fixture.h"
#include "tests/support/source_maker.h"
#include "tests/support/tar_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using test::ContentsOf;
using test::ErrorOf;
using test::WebdatasetStyle;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConvertLayouts : public ::testing::Test {
 protected:
  // Five classes of seven pictures: sound ones, one that is no JPEG, a damaged one and a copy.
  void SetUp() override {
    pictures_ = test::MakeSmallPictures(5, 7);
    for (std::size_t i = 0; i < pictures_.size(); ++i) {
      pictures_[i].bytes = test::MakeJpeg({.width = 20 + static_cast<int>(i), .seed = i + 1});
    }
    pictures_[3].bytes = test::MakePng(17, 11, 5);
    pictures_[9].bytes.resize(pictures_[9].bytes.size() - 20);
    pictures_[12].bytes.clear();
    for (std::size_t i = 1; i < pictures_.size(); ++i) {
      if (pictures_[i].class_id == pictures_[0].class_id) pictures_[i].bytes = pictures_[0].bytes;
    }
    MakeLayouts();
  }

  // Of pictures_, in place of those that are there.
  void MakeLayouts() {
    for (const char* source : {"folder", "numbers", "texts", "timm", "json"}) {
      fs::remove_all(folder_ / source);
    }
    test::MakeFolder(folder_ / "folder", pictures_);
    test::WriteBytes(folder_ / "train.tar", test::MakeTrainTar(pictures_));
    test::WriteBytes(folder_ / "val.tar", test::MakeValTar(pictures_));
    test::WriteBytes(folder_ / "devkit.tar.gz", test::MakeDevkit(pictures_));
    test::WriteText(folder_ / "mapping.txt", test::MakeSynsetMapping(pictures_));
    MakeWebdataset("numbers", WebdatasetStyle::kNumbers);
    MakeWebdataset("texts", WebdatasetStyle::kTexts);
    MakeWebdataset("timm", WebdatasetStyle::kTimm);
    MakeWebdataset("json", WebdatasetStyle::kJson);
  }

  void MakeWebdataset(const char* name, WebdatasetStyle style) {
    const auto tars = test::MakeWebdataset(pictures_, style, 3);
    for (std::size_t i = 0; i < tars.size(); ++i) {
      test::WriteBytes(folder_ / name / ("set-" + std::to_string(i) + ".tar"), tars[i]);
    }
  }

  ConvertOptions Options(const std::string& source, const std::string& to) const {
    return {.sources = {(folder_ / source).string()},
            .devkit = folder_ / "devkit.tar.gz",
            .classes = folder_ / "mapping.txt",
            .to = folder_ / to,
            .shards = 4,
            .seed = 7,
            .jobs = 2};
  }

  // All parts, last ones first, then the whole.
  ConvertReport ConvertWithWorkers(ConvertOptions options, std::uint32_t workers) const {
    for (std::uint32_t i = workers; i-- > 0;) {
      options.worker = storage::SourcePart{i, workers};
      EXPECT_TRUE(Convert(options).is_part);
    }
    return MergeParts(MergeOf(options));
  }

  static MergeOptions MergeOf(const ConvertOptions& options) {
    return {.to = options.to, .split = options.split, .shards = options.shards, .jobs = 2};
  }

  // Every layout, and each of them shared among three workers.
  void ExpectTheSameFingerprintFromAll() {
    std::uint64_t fingerprint = 0;
    for (const char* source : kSources) {
      const auto straight = Convert(Options(source, "straight"));
      const auto shared = ConvertWithWorkers(Options(source, "shared"), 3);
      if (fingerprint == 0) fingerprint = straight.fingerprint;
      EXPECT_EQ(straight.records, pictures_.size()) << source;
      EXPECT_EQ(straight.fingerprint, fingerprint) << source;
      EXPECT_EQ(shared.fingerprint, fingerprint) << source;
      fs::remove_all(folder_ / "straight");
      fs::remove_all(folder_ / "shared");
    }
  }

  static constexpr const char* kSources[] = {
      "folder", "train.tar", "val.tar", "numbers", "texts/set-{0..2}.tar", "timm", "json"};

  const test::TemporaryFolder folder_;
  std::vector<test::MadePicture> pictures_;
};

TEST_F(ConvertLayouts, AllGiveTheSameFingerprintAndTheSameReadableNames) {
  std::uint64_t fingerprint = 0;
  std::vector<storage::ClassInfo> classes;
  for (const char* source : kSources) {
    const auto options = Options(source, "to");
    const auto report = Convert(options);
    if (fingerprint == 0) fingerprint = report.fingerprint;
    EXPECT_EQ(report.fingerprint, fingerprint) << source;
    EXPECT_EQ(report.records, 34u) << source;
    EXPECT_EQ(report.left_out, 1u) << source;
    EXPECT_GE(report.changed, 1u) << source;
    const storage::SplitReader reader(options.to, "train");
    if (classes.empty()) classes = reader.manifest().classes;
    EXPECT_EQ(reader.manifest().classes, classes) << source;
    EXPECT_EQ(reader.manifest().classes[0].name, "words of " + classes[0].id + ", and more");
    fs::remove_all(options.to);
  }
}

TEST_F(ConvertLayouts, ImageNetOriginalsGiveTheSameFingerprintFromAll) {
  const auto archive = millrace::testing::TestData("imagenet-originals-200.tar");
  if (archive.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with the originals";
  pictures_.clear();
  for (auto& file : millrace::testing::ReadTar(archive, ".JPEG")) {
    const fs::path path = file.name;  // "train/n01484850/n01484850_great_white_shark.JPEG"
    pictures_.push_back({.class_id = path.parent_path().filename().string(),
                         .name = path.filename().string(),
                         .bytes = std::move(file.bytes)});
  }
  ASSERT_EQ(pictures_.size(), 200u);
  MakeLayouts();
  ExpectTheSameFingerprintFromAll();
}

TEST_F(ConvertLayouts, MadeUpPicturesGiveTheSameFingerprintFromAll) {
  Synth({.to = folder_ / "synth", .images = 60, .classes = 6});
  pictures_.clear();
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "synth")) {
    if (!entry.is_regular_file()) continue;
    const std::string content = ReadFile(entry.path());
    const auto bytes = std::as_bytes(std::span(content));
    pictures_.push_back({.class_id = entry.path().parent_path().filename().string(),
                         .name = entry.path().filename().string(),
                         .bytes = {bytes.begin(), bytes.end()}});
  }
  ASSERT_EQ(pictures_.size(), 60u);
  MakeLayouts();
  ExpectTheSameFingerprintFromAll();
}

TEST_F(ConvertLayouts, AnyNumberOfWorkersGivesTheSameBytes) {
  for (const char* source : kSources) {
    Convert(Options(source, "straight"));
    const auto expected = ContentsOf(folder_ / "straight");
    for (const std::uint32_t workers : {1u, 2u, 5u, 40u}) {
      const auto report = ConvertWithWorkers(Options(source, "shared"), workers);
      EXPECT_EQ(report.records, 34u);
      EXPECT_TRUE(ContentsOf(folder_ / "shared") == expected) << source << ", " << workers;
      EXPECT_FALSE(fs::exists(folder_ / "shared/.convert-train"));
      fs::remove_all(folder_ / "shared");
    }
    fs::remove_all(folder_ / "straight");
  }
}

TEST_F(ConvertLayouts, SourcesOfSeveralKindsAreMixed) {
  auto options = Options("folder", "to");
  options.sources.push_back((folder_ / "timm").string());
  EXPECT_EQ(Convert(options).records, 68u);
}

TEST_F(ConvertLayouts, ChosenVariantDoesNotDependOnTheLayout) {
  for (const PictureOptions& picture :
       {PictureOptions{.region_index = false}, PictureOptions{.resize_short = 16},
        PictureOptions{.region_index = false, .max_side = 24, .quality = 70}}) {
    std::uint64_t fingerprint = 0;
    for (const char* source : {"folder", "val.tar", "json"}) {
      auto options = Options(source, "to");
      options.picture = picture;
      const auto report = Convert(options);
      if (fingerprint == 0) fingerprint = report.fingerprint;
      EXPECT_EQ(report.fingerprint, fingerprint) << source;
      fs::remove_all(options.to);
    }
  }
}

TEST_F(ConvertLayouts, SpoolsOfSeveralFilesAreDealtAlike) {
  // Heavy enough for several spools: a part's are as many as 64 MiB go into it.
  std::vector<std::byte> heavy = test::MakeJpeg();
  heavy.resize(40 << 20);
  for (int i = 0; i < 8; ++i) {
    heavy[heavy.size() - 1] = static_cast<std::byte>(i);  // behind the picture's end
    test::WriteBytes(
        folder_ / "folder" / pictures_[0].class_id / ("heavy" + std::to_string(i) + ".jpg"), heavy);
  }
  Convert(Options("folder", "straight"));
  ConvertWithWorkers(Options("folder", "shared"), 7);
  EXPECT_TRUE(ContentsOf(folder_ / "straight") == ContentsOf(folder_ / "shared"));
}

// ---- what workers and merging refuse ----

TEST_F(ConvertLayouts, MissingWorkersAreNamed) {
  auto options = Options("folder", "to");
  for (const std::uint32_t i : {0u, 3u}) {
    options.worker = storage::SourcePart{i, 5};
    Convert(options);
  }
  EXPECT_EQ(ErrorOf([&] { MergeParts(MergeOf(options)); }),
            "of 5 workers these have not finished: 1, 2, 4; run them (again), then --merge");
  EXPECT_FALSE(fs::exists(options.to / "manifest.json"));
}

TEST_F(ConvertLayouts, WorkersWithOtherOptionsAreNotJoined) {
  auto options = Options("folder", "to");
  options.worker = storage::SourcePart{0, 2};
  Convert(options);
  options.worker = storage::SourcePart{1, 2};
  options.seed = 8;
  Convert(options);
  EXPECT_THAT(ErrorOf([&] { MergeParts(MergeOf(options)); }),
              AllOf(HasSubstr("part-00000-of-00002 and "),
                    HasSubstr("part-00001-of-00002 were made "
                              "from other sources or with other options")));
}

TEST_F(ConvertLayouts, WorkersOfTwoNumbersAreNotJoined) {
  auto options = Options("folder", "to");
  options.worker = storage::SourcePart{0, 2};
  Convert(options);
  options.worker = storage::SourcePart{2, 3};
  Convert(options);
  EXPECT_THAT(ErrorOf([&] { MergeParts(MergeOf(options)); }),
              HasSubstr("holds the work of 2 workers and of 3; remove the folder"));
}

TEST_F(ConvertLayouts, NothingToMergeIsSaid) {
  EXPECT_THAT(ErrorOf([&] { MergeParts(MergeOf(Options("folder", "to"))); }),
              HasSubstr(".convert-train holds no work of workers; run"));
}

TEST_F(ConvertLayouts, MergingAgainHasNothingToDo) {
  const auto options = Options("folder", "to");
  const auto report = ConvertWithWorkers(options, 3);
  const auto again = MergeParts(MergeOf(options));
  EXPECT_TRUE(again.nothing_to_do);
  EXPECT_EQ(again.fingerprint, report.fingerprint);
}

TEST_F(ConvertLayouts, ConversionWithoutWorkersDoesNotTouchTheirWork) {
  auto options = Options("folder", "to");
  options.worker = storage::SourcePart{1, 2};
  Convert(options);
  options.worker.reset();
  EXPECT_THAT(ErrorOf([&] { Convert(options); }),
              HasSubstr("holds the work of 2 workers; join it with --merge"));
  EXPECT_TRUE(fs::exists(options.to / ".convert-train/part-00001-of-00002/done.json"));
}

TEST_F(ConvertLayouts, WorkersBadFilesFailTheMergeWhenAskedTo) {
  auto options = Options("folder", "to");
  options.on_bad = OnBad::kFail;
  for (const std::uint32_t i : {0u, 1u}) {
    options.worker = storage::SourcePart{i, 2};
    Convert(options);
  }
  EXPECT_THAT(ErrorOf([&] { MergeParts(MergeOf(options)); }),
              HasSubstr("3 of 35 files cannot be used; mend or remove them"));
  EXPECT_FALSE(fs::exists(options.to / "manifest.json"));
}

}  // namespace
}  // namespace millrace::pipeline
