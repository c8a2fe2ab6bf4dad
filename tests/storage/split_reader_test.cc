#include "storage/split_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "storage/shard_reader.h"
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
  reader.Prefetch(0, kRecords);
  reader.Prefetch(kRecords, 0);
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

// Memory that begins at a page.
class PageMemory {
 public:
  explicit PageMemory(std::size_t bytes)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(kAlignment, RoundUp(bytes))), std::free),
        bytes_(bytes) {}

  std::span<std::byte> bytes() const { return {memory_.get(), bytes_}; }

 private:
  static constexpr std::size_t kAlignment = 65536;
  static std::size_t RoundUp(std::size_t bytes) {
    return (bytes + kAlignment) / kAlignment * kAlignment;
  }
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  std::size_t bytes_;
};

TEST_F(SplitReaderTest, RunsHoldTheRecordsWhereverTheyBeginAndEnd) {
  const SplitReader reader(folder_.path(), "train");
  for (std::uint64_t first = 0; first < kRecords; ++first) {
    for (std::uint64_t count = 1; first + count <= kRecords; ++count) {
      const PageMemory memory(reader.RunBytes(first, count));
      const auto records = reader.ReadRun(first, count, memory.bytes());
      ASSERT_EQ(records.size(), count) << "from " << first;
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto record = reader.ReadStored(first + i, records[i]);
        ASSERT_TRUE(record.ok()) << record.fault().message;
        EXPECT_TRUE(test::SameRecord(*record, OwnedRecord(first + i).view));
        EXPECT_GE(record->payload.data(), memory.bytes().data());
        EXPECT_LT(record->payload.data(), memory.bytes().data() + memory.bytes().size());
      }
    }
  }
  EXPECT_EQ(reader.RunBytes(3, 0), 0u);
  EXPECT_TRUE(reader.ReadRun(3, 0, {}).empty());
}

TEST_F(SplitReaderTest, RunOfLargeRecordsTakesTheirPagesAndNoMore) {
  const test::TemporaryFolder folder;
  CreateFolders(folder.path());
  test::WriteShard(folder / "shard.lmdb", 0, 40, 100'000);
  const ShardReader shard(folder / "shard.lmdb");
  const auto pages = shard.Pages(4, 32);
  ASSERT_TRUE(pages);
  EXPECT_GE(pages->bytes, 32u * 100'000);
  // A page's rest for each, and an index page now and then.
  EXPECT_LE(pages->bytes, 32u * (100'000 + 2 * 4096));
  EXPECT_LE(pages->offset + pages->bytes, fs::file_size(folder / "shard.lmdb"));
  const PageMemory memory(pages->bytes);
  ASSERT_TRUE(shard.ReadDirect(*pages, memory.bytes()));
  for (std::uint64_t key = 4; key < 36; ++key) {
    const auto stored = shard.Bytes(key);
    const auto read = memory.bytes().subspan(shard.Offset(key) - pages->offset, stored.size());
    EXPECT_TRUE(std::ranges::equal(read, stored)) << key;
  }
}

TEST_F(SplitReaderTest, RunThatTheDiskDoesNotGiveIsEmpty) {
  const SplitReader reader(folder_.path(), "train");
  const PageMemory memory(reader.RunBytes(0, kRecords));
  fs::resize_file(shard_, 4096);
  EXPECT_EQ(reader.ReadRun(0, 6, memory.bytes()).size(), 6u);
  EXPECT_TRUE(reader.ReadRun(8, 2, memory.bytes()).empty());
  EXPECT_TRUE(reader.ReadRun(0, kRecords, memory.bytes()).empty());
}

TEST_F(SplitReaderTest, RunComesFromTheOpenFileWhateverHasItsName) {
  const SplitReader reader(folder_.path(), "train");
  WriteFileAtomically(shard_, "another file");
  const PageMemory memory(reader.RunBytes(8, 2));
  const auto records = reader.ReadRun(8, 2, memory.bytes());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_TRUE(test::SameRecord(*reader.ReadStored(9, records[1]), OwnedRecord(9).view));
}

TEST_F(SplitReaderTest, RecordThatWasReadWronglyIsReadAgain) {
  const SplitReader reader(folder_.path(), "train");
  const PageMemory memory(reader.RunBytes(8, 1));
  const auto records = reader.ReadRun(8, 1, memory.bytes());
  ASSERT_EQ(records.size(), 1u);
  for (const std::size_t at : {std::size_t{9}, records[0].size() - 5}) {
    auto* const byte = const_cast<std::byte*>(records[0].data()) + at;
    *byte = ~*byte;
    const auto record = reader.ReadStored(8, records[0]);
    ASSERT_TRUE(record.ok()) << record.fault().message;
    EXPECT_TRUE(test::SameRecord(*record, OwnedRecord(8).view));
    *byte = ~*byte;
  }
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
  const PageMemory memory(reader.RunBytes(8, 1));
  const auto stored = reader.ReadRun(8, 1, memory.bytes());
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(reader.ReadStored(8, stored[0]).fault().message, damaged.fault().message);
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

class SplitReaderCopyTest : public SplitReaderTest {
 protected:
  // The second shard holds the samples 6..12.
  static constexpr std::uint64_t kFirst = 6;
  static constexpr std::uint64_t kEnd = 13;

  void SetUp() override {
    SplitReaderTest::SetUp();
    fs::copy_file(shard_, copy_);
  }

  // Flips a bit of the sample's picture in the file, where it lies.
  static void Damage(const fs::path& path, std::uint64_t sample_id) {
    const std::string file = ReadFile(path);
    const OwnedRecord record(sample_id);
    const auto at = file.find(
        std::string(reinterpret_cast<const char*>(record.payload.data()), record.payload.size()));
    ASSERT_NE(at, std::string::npos);
    std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(~file[at]));
  }

  std::function<void(const std::string&)> KeepFaults() {
    return [this](const std::string& fault) { faults_.push_back(fault); };
  }

  const fs::path copy_ = folder_ / "copy.lmdb";
  std::vector<std::string> faults_;
};

TEST_F(SplitReaderCopyTest, RecordsComeFromTheCopyAndOlderViewsStayValid) {
  const SplitReader reader(folder_.path(), "train");
  std::vector<RecordView> before;
  for (std::uint64_t id = 0; id < kRecords; ++id) before.push_back(*reader.Read(id));
  reader.UseCopy(1, copy_, KeepFaults());
  for (std::uint64_t id = 0; id < kRecords; ++id) {
    EXPECT_TRUE(test::SameRecord(before[id], OwnedRecord(id).view));
    const auto record = reader.Read(id);
    ASSERT_TRUE(record.ok());
    EXPECT_TRUE(test::SameRecord(*record, before[id]));
    EXPECT_EQ(record->payload.data() != before[id].payload.data(), id >= kFirst && id < kEnd);
    reader.Prefetch(id);
  }
  EXPECT_EQ(reader.Where(kFirst), "train-00001-of-00003.lmdb, key 0");
  // What becomes of the file in the dataset does not matter any more.
  Damage(shard_, 8);
  EXPECT_TRUE(reader.Read(8).ok());
  EXPECT_TRUE(faults_.empty());
}

TEST_F(SplitReaderCopyTest, DamagedCopyIsGivenUpForTheDatasetAndToldOnce) {
  Damage(copy_, 8);
  Damage(copy_, 10);
  const SplitReader reader(folder_.path(), "train");
  reader.UseCopy(1, copy_, KeepFaults());
  const auto early = reader.Read(7);
  for (const std::uint64_t id : {8U, 10U, 8U, 7U}) {
    const auto record = reader.Read(id);
    ASSERT_TRUE(record.ok()) << record.fault().message;
    EXPECT_TRUE(test::SameRecord(*record, OwnedRecord(id).view));
  }
  EXPECT_TRUE(test::SameRecord(*early, OwnedRecord(7).view));
  EXPECT_THAT(faults_, testing::ElementsAre("copy.lmdb, key 2: the picture is damaged (it does not "
                                            "have the hash that its record carries)"));
}

TEST_F(SplitReaderCopyTest, RecordDamagedInBothIsAFault) {
  Damage(copy_, 8);
  Damage(shard_, 8);
  const SplitReader reader(folder_.path(), "train");
  reader.UseCopy(1, copy_, KeepFaults());
  const auto record = reader.Read(8);
  ASSERT_FALSE(record.ok());
  EXPECT_THAT(record.fault().message, testing::StartsWith("train-00001-of-00003.lmdb, key 2: "));
}

TEST_F(SplitReaderCopyTest, CopyThatCannotBeOpenedChangesNothing) {
  const SplitReader reader(folder_.path(), "train");
  const auto error = [&] { return test::ErrorOf([&] { reader.UseCopy(1, copy_, KeepFaults()); }); };
  const std::string file = ReadFile(copy_);
  test::WriteText(copy_, file.substr(1));
  EXPECT_THAT(error(), AllOf(HasSubstr(copy_.string()), HasSubstr("bytes, but manifest.json")));
  test::WriteText(copy_, std::string(file.size(), 'x'));
  EXPECT_THAT(error(), HasSubstr(copy_.string() + " cannot be read"));
  fs::remove(copy_);
  EXPECT_THAT(error(), HasSubstr("No such file or directory"));
  for (std::uint64_t id = 0; id < kRecords; ++id) EXPECT_TRUE(reader.Read(id).ok());
  test::WriteText(copy_, file);
  EXPECT_EQ(error(), "");
}

TEST_F(SplitReaderCopyTest, ReadersNoticeNeitherSwitchNorDamage) {
  Damage(copy_, 12);
  const SplitReader reader(folder_.path(), "train");
  std::atomic<int> wrong = 0;
  std::atomic<int> told = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        for (std::uint64_t id = 0; id < kRecords; ++id) {
          const auto record = reader.Read(id);
          if (!record.ok() || !test::SameRecord(*record, OwnedRecord(id).view)) ++wrong;
          reader.Prefetch(id);
        }
      }
    });
  }
  reader.UseCopy(1, copy_, [&](const std::string&) { ++told; });
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(reader.Read(12).ok());
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace millrace::storage
