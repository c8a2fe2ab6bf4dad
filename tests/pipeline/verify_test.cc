#include "pipeline/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "pipeline/convert.h"
#include "storage/manifest.h"
#include "tests/pipeline/convert_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

class VerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    test::MakeImageFolder(folder_ / "from", 3, 7);
    Convert({.sources = {folder_ / "from"}, .to = to_, .shards = 3, .seed = 7});
  }

  VerifyReport Check(bool quick = false) { return Verify({.dataset = to_, .quick = quick}); }

  fs::path Shard(int index) const {
    return to_ / storage::ShardFileName("train", static_cast<std::uint64_t>(index), 3);
  }

  template <typename Change>
  void RewriteShard(Change change) {
    test::RewriteShard(to_, "train", 1, change);
  }

  static auto IsProblem(const std::string& where, const std::string& what) {
    return AllOf(Field(&Problem::where, where), Field(&Problem::what, HasSubstr(what)));
  }

  const test::TemporaryFolder folder_;
  const fs::path to_ = folder_ / "to";
};

TEST_F(VerifyTest, WholeDatasetHasNoProblems) {
  for (const bool quick : {false, true}) {
    const auto report = Check(quick);
    EXPECT_TRUE(report.ok());
    EXPECT_EQ(report.records, 21u);
    EXPECT_EQ(report.shards, 3u);
    EXPECT_EQ(report.splits, 1u);
    EXPECT_EQ(report.bytes,
              fs::file_size(Shard(0)) + fs::file_size(Shard(1)) + fs::file_size(Shard(2)));
  }
}

TEST_F(VerifyTest, ProgressEndsWithEverything) {
  VerifyProgress last;
  Verify({.dataset = to_}, [&](const VerifyProgress& progress) { last = progress; });
  EXPECT_EQ(last.records, 21u);
  EXPECT_EQ(last.total_records, 21u);
}

TEST_F(VerifyTest, PngPayloadsAreDecodedToo) {
  auto png = test::MakePng(50, 40, 1);
  RewriteShard([&](std::uint64_t key, storage::RecordView* record) {
    if (key != 2) return;
    record->width = 50;
    record->height = 40;
    record->subsampling = storage::Subsampling::kUnknown;
    record->payload = png;
    record->region_index = {};
  });
  EXPECT_THAT(Check().problems, ElementsAre(IsProblem("train", "fingerprint")));
  png.resize(png.size() - 30);
  RewriteShard([&](std::uint64_t key, storage::RecordView* record) {
    if (key == 2) record->payload = png;
  });
  EXPECT_THAT(Check().problems,
              ElementsAre(IsProblem("train-00001-of-00003.lmdb, key 2", "a truncated PNG")));
}

TEST_F(VerifyTest, MissingShardIsOneProblemAndTheOthersAreChecked) {
  fs::remove(Shard(1));
  const auto report = Check();
  EXPECT_THAT(report.problems,
              ElementsAre(IsProblem("train-00001-of-00003.lmdb", "No such file or directory")));
  EXPECT_EQ(report.records, 14u);
}

TEST_F(VerifyTest, TruncatedShardIsNamed) {
  fs::resize_file(Shard(2), fs::file_size(Shard(2)) / 2);
  EXPECT_THAT(Check(true).problems,
              ElementsAre(IsProblem("train-00002-of-00003.lmdb", "it is cut off or damaged")));
}

TEST_F(VerifyTest, AnyFlippedByteIsFoundAndHitRecordsAreNamed) {
  const std::string good = ReadFile(Shard(1));
  int named = 0;
  for (std::size_t at = 0; at < good.size(); at += 97) {
    std::string bad = good;
    bad[at] = static_cast<char>(~bad[at]);
    test::WriteText(Shard(1), bad);
    const auto report = Check(true);
    ASSERT_FALSE(report.ok()) << at;
    EXPECT_THAT(report.problems[0].where, HasSubstr("train-00001-of-00003.lmdb"));
    for (const auto& problem : report.problems)
      named += problem.where.find(", key ") != std::string::npos;
  }
  EXPECT_GT(named, 20);
}

TEST_F(VerifyTest, PictureThatDoesNotDecodeIsFoundUnlessQuick) {
  auto jpeg = test::MakeJpeg();
  jpeg.resize(jpeg.size() - 50);
  RewriteShard([&](std::uint64_t key, storage::RecordView* record) {
    if (key != 3) return;
    record->payload = jpeg;
    record->region_index = {};
  });
  const std::string where = "train-00001-of-00003.lmdb, key 3";
  EXPECT_THAT(Check().problems, ElementsAre(IsProblem(where, "a truncated JPEG")));
  // The content is another one than was converted, which the fingerprint tells at once.
  EXPECT_THAT(Check(true).problems,
              ElementsAre(IsProblem("train", "its records have the fingerprint")));
}

TEST_F(VerifyTest, HeaderThatIsNotThePicturesIsFound) {
  RewriteShard([](std::uint64_t key, storage::RecordView* record) {
    if (key == 2) record->width += 1;
  });
  EXPECT_THAT(Check().problems,
              ElementsAre(IsProblem("train-00001-of-00003.lmdb, key 2", "but its record says")));
}

TEST_F(VerifyTest, RegionIndexThatIsNotThePicturesIsFoundByQuickToo) {
  const std::vector<std::uint16_t> segments = {10, 20};
  RewriteShard([&](std::uint64_t key, storage::RecordView* record) {
    if (key == 2) record->region_index = {.segment_mcus = 4, .segment_bytes = segments};
  });
  for (const bool quick : {false, true}) {
    EXPECT_THAT(Check(quick).problems,
                ElementsAre(IsProblem("train-00001-of-00003.lmdb, key 2",
                                      "its region index is not the one of its picture")));
  }
}

TEST_F(VerifyTest, LabelOutsideTheClassesIsFound) {
  RewriteShard([](std::uint64_t key, storage::RecordView* record) {
    if (key == 2) record->label = 3;
  });
  EXPECT_THAT(Check(true).problems,
              ElementsAre(IsProblem("train-00001-of-00003.lmdb, key 2",
                                    "label 3 is outside the 3 classes of manifest.json")));
}

TEST_F(VerifyTest, ExchangedLabelsChangeTheFingerprint) {
  RewriteShard([](std::uint64_t, storage::RecordView* record) { record->label = 0; });
  EXPECT_THAT(Check().problems, ElementsAre(IsProblem("train", "not ")));
}

TEST_F(VerifyTest, FolderWithoutManifestIsAnError) {
  EXPECT_THAT(test::ErrorOf([&] { (void)Verify({.dataset = folder_.path()}); }),
              HasSubstr("is not a dataset"));
}

TEST_F(VerifyTest, StopEndsEarlyAndIsNotSuccess) {
  const std::atomic<bool> stop = true;
  const auto report = Verify({.dataset = to_, .stop = &stop});
  EXPECT_TRUE(report.stopped);
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.problems, IsEmpty());
}

}  // namespace
}  // namespace millrace::pipeline
