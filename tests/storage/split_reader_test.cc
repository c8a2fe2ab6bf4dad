#include "storage/split_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using test::OwnedRecord;
using testing::AllOf;
using testing::HasSubstr;

class SplitReaderTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kRecords = 20;

  void SetUp() override { manifest_ = test::WriteDataset(folder_.path(), kRecords, 3); }

  std::string ErrorOfOpening(std::string_view split = "train") {
    return test::ErrorOf([&] { SplitReader reader(folder_.path(), split); });
  }

  const test::TemporaryFolder folder_;
  const fs::path shard_ = folder_ / "train-00001-of-00003.lmdb";
  Manifest manifest_;
};

TEST_F(SplitReaderTest, SampleIdsRunThroughShardsInOrder) {
  const SplitReader reader(folder_.path(), "train");
  EXPECT_EQ(reader.manifest(), manifest_);
  EXPECT_EQ(reader.split(), manifest_.splits.at("train"));
  ASSERT_EQ(reader.size(), kRecords);
  for (std::uint64_t id = 0; id < kRecords; ++id) {
    reader.Prefetch(id);
    const auto record = reader.Read(id);
    ASSERT_TRUE(record.ok()) << record.fault().message;
    EXPECT_TRUE(test::SameRecord(*record, OwnedRecord(id).view));
    const auto header = reader.Peek(id);
    ASSERT_TRUE(header.ok());
    EXPECT_TRUE(test::SameRecord(*header, OwnedRecord(id).view));
  }
  EXPECT_EQ(reader.Where(0), "train-00000-of-00003.lmdb, key 0");
  EXPECT_EQ(reader.Where(6), "train-00001-of-00003.lmdb, key 0");
  EXPECT_EQ(reader.Where(kRecords - 1), "train-00002-of-00003.lmdb, key 6");
}

TEST_F(SplitReaderTest, EmptyShardsAreSteppedOver) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder.path(), 2, 5);
  const SplitReader reader(folder.path(), "train");
  ASSERT_EQ(reader.size(), 2u);
  EXPECT_TRUE(test::SameRecord(*reader.Read(0), OwnedRecord(0).view));
  EXPECT_TRUE(test::SameRecord(*reader.Read(1), OwnedRecord(1).view));
}

TEST_F(SplitReaderTest, ManyThreadsReadTheSame) {
  const SplitReader reader(folder_.path(), "train");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        for (std::uint64_t id = 0; id < kRecords; ++id) {
          const auto record = reader.Read(id);
          if (!record.ok() || record->payload_hash != OwnedRecord(id).view.payload_hash) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(SplitReaderTest, TwoReadersOfOneSplitWorkSideBySide) {
  const SplitReader first(folder_.path(), "train");
  {
    const SplitReader second(folder_.path(), "train");
    EXPECT_TRUE(second.Read(3).ok());
  }
  EXPECT_TRUE(first.Read(3).ok());
}

TEST_F(SplitReaderTest, MissingShardIsNamed) {
  fs::remove(shard_);
  EXPECT_THAT(ErrorOfOpening(),
              AllOf(HasSubstr(shard_.string()), HasSubstr("No such file or directory"),
                    HasSubstr("restore the file or convert again")));
}

TEST_F(SplitReaderTest, ShardOfAnotherSizeIsNamed) {
  const auto bytes = fs::file_size(shard_);
  fs::resize_file(shard_, bytes - 1);
  EXPECT_EQ(ErrorOfOpening(),
            fmt::format("{} has {} bytes, but manifest.json says {}; restore the file or convert "
                        "again",
                        shard_.string(), bytes - 1, bytes));
}

TEST_F(SplitReaderTest, ShardWithOtherCountIsNamed) {
  manifest_.splits["train"].shards[1].records += 1;
  manifest_.splits["train"].records += 1;
  WriteFileAtomically(ManifestPath(folder_.path()), ManifestText(manifest_));
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("holds 7 records, but manifest.json says 8"));
}

TEST_F(SplitReaderTest, UnknownSplitIsNamed) {
  EXPECT_THAT(ErrorOfOpening("val"), HasSubstr("has no split \"val\" (it has: train)"));
}

TEST_F(SplitReaderTest, DamagedRecordIsAFaultThatNamesShardAndKey) {
  std::string file = ReadFile(shard_);
  const OwnedRecord record(8);
  const std::string payload(reinterpret_cast<const char*>(record.payload.data()),
                            record.payload.size());
  const auto at = file.find(payload);
  ASSERT_NE(at, std::string::npos);
  file[at + 100] = static_cast<char>(~file[at + 100]);
  test::WriteText(shard_, file);
  const SplitReader reader(folder_.path(), "train");
  const auto damaged = reader.Read(8);
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.fault().message,
            "train-00001-of-00003.lmdb, key 2: the picture is damaged (it does not have the hash "
            "that its record carries)");
  EXPECT_TRUE(reader.Peek(8).ok());
  EXPECT_TRUE(reader.Read(7).ok());
}

TEST_F(SplitReaderTest, LabelOutsideTheClassesIsAFault) {
  manifest_.classes.pop_back();
  WriteFileAtomically(ManifestPath(folder_.path()), ManifestText(manifest_));
  const SplitReader reader(folder_.path(), "train");
  EXPECT_TRUE(reader.Read(1).ok());
  const auto outside = reader.Read(2);
  ASSERT_FALSE(outside.ok());
  EXPECT_EQ(outside.fault().message,
            "train-00000-of-00003.lmdb, key 2: label 2 is outside the 2 classes of manifest.json");
}

}  // namespace
}  // namespace millrace::storage
