// ShardWriter and ShardReader together.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <map>

#include "storage/shard_reader.h"
#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using test::OwnedRecord;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> FilesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Sizes on both sides of what LMDB stores inside a page, and of a page.
constexpr std::size_t kSizes[] = {0, 1, 300, 1700, 1800, 1900, 2000, 2100, 4000, 4096, 20000};

TEST(Shard, RoundTripKeepsRecordsInOrder) {
  const test::TemporaryFolder folder;
  const auto path = folder / "train-00000-of-00001.lmdb";
  constexpr std::uint64_t kRecords = 500;
  ShardFacts facts;
  {
    ShardWriter writer(path);
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      writer.Append(SerializeRecord(OwnedRecord(i, kSizes[i % std::size(kSizes)]).view));
    }
    facts = writer.Finish();
  }
  EXPECT_EQ(facts.records, kRecords);
  EXPECT_EQ(facts.bytes, fs::file_size(path));
  EXPECT_EQ(facts.hash, Hash64(ReadFile(path)));
  EXPECT_THAT(FilesIn(folder.path()), testing::ElementsAre("train-00000-of-00001.lmdb"));

  const ShardReader reader(path);
  ASSERT_EQ(reader.size(), kRecords);
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    const auto record = reader.Read(i);
    ASSERT_TRUE(record.ok()) << record.fault().message;
    EXPECT_TRUE(test::SameRecord(*record, OwnedRecord(i, kSizes[i % std::size(kSizes)]).view));
  }
}

TEST(Shard, RecordsOfManyMegabytesAreKept) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.lmdb";
  ShardWriter writer(path);
  const OwnedRecord large(1, 40 << 20);
  for (std::uint64_t i = 0; i < 6; ++i) {
    writer.Append(SerializeRecord(i == 3 ? large.view : OwnedRecord(i, 5 << 20).view));
  }
  writer.Finish();
  const ShardReader reader(path);
  ASSERT_EQ(reader.size(), 6u);
  const auto record = reader.Read(3);
  ASSERT_TRUE(record.ok());
  EXPECT_TRUE(test::SameRecord(*record, large.view));
  EXPECT_TRUE(reader.Read(5).ok());
}

TEST(Shard, WithoutRecordsIsReadAsEmpty) {
  const test::TemporaryFolder folder;
  test::WriteShard(folder / "a.lmdb", 0, 0);
  EXPECT_EQ(ShardReader(folder / "a.lmdb").size(), 0u);
}

TEST(Shard, BytesDependOnNothingButTheRecords) {
  const test::TemporaryFolder folder;
  // What malloc hands out differs between the two: nothing uninitialised may reach the file.
  mallopt(M_PERTURB, 0x55);
  test::WriteShard(folder / "a.lmdb", 0, 3000, 900);
  test::WriteShard(folder / "b.lmdb", 0, 40, 600'000);
  mallopt(M_PERTURB, 0xAA);
  test::WriteShard(folder / "other-name.lmdb", 0, 3000, 900);
  test::WriteShard(folder / "b2.lmdb", 0, 40, 600'000);
  mallopt(M_PERTURB, 0);
  EXPECT_TRUE(ReadFile(folder / "a.lmdb") == ReadFile(folder / "other-name.lmdb"));
  EXPECT_TRUE(ReadFile(folder / "b.lmdb") == ReadFile(folder / "b2.lmdb"));
}

TEST(Shard, UnfinishedWriterLeavesNothing) {
  const test::TemporaryFolder folder;
  {
    ShardWriter writer(folder / "a.lmdb");
    writer.Append(SerializeRecord(OwnedRecord(1).view));
  }
  EXPECT_THAT(FilesIn(folder.path()), IsEmpty());
}

TEST(Shard, UnfinishedWriterKeepsWhatStoodThere) {
  const test::TemporaryFolder folder;
  test::WriteShard(folder / "a.lmdb", 0, 3);
  const std::string before = ReadFile(folder / "a.lmdb");
  {
    ShardWriter writer(folder / "a.lmdb");
    writer.Append(SerializeRecord(OwnedRecord(9).view));
  }
  EXPECT_EQ(ReadFile(folder / "a.lmdb"), before);
}

TEST(Shard, MissingFolderIsNamed) {
  EXPECT_THAT(
      test::ErrorOf([] { ShardWriter writer("/nowhere/a.lmdb"); }),
      AllOf(HasSubstr("cannot create /nowhere/a.lmdb"), HasSubstr("No such file or directory")));
}

TEST(Shard, MissingFileIsNamed) {
  EXPECT_THAT(test::ErrorOf([] { ShardReader reader("/nowhere/a.lmdb"); }),
              HasSubstr("cannot open /nowhere/a.lmdb: No such file or directory"));
}

// What a child process that runs `action` under a limit of `bytes` per file leaves: the Error's
// text, by way of a file.
std::string ErrorUnderFileLimit(const fs::path& text_file, std::uint64_t bytes,
                                const std::function<void()>& action) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    std::string text = test::ErrorOf([&] {
      struct rlimit limit = {bytes, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      action();
    });
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    WriteFileAtomically(text_file, text);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return ReadFile(text_file);
}

TEST(Shard, FileThatMayNotGrowIsAnErrorAtAnyPointAndLeavesNothing) {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder texts;
  // Cut off while records are written (20 MiB go through two batches), and while they are copied.
  for (const std::uint64_t limit : {5'000u, 1'000'000u, 17'000'000u, 19'000'000u}) {
    const std::string text = ErrorUnderFileLimit(
        texts / "text", limit, [&] { test::WriteShard(folder / "a.lmdb", 0, 200, 100'000); });
    EXPECT_THAT(text, AllOf(HasSubstr("cannot "), HasSubstr("a.lmdb: "))) << limit;
    EXPECT_THAT(FilesIn(folder.path()), IsEmpty()) << limit;
  }
}

// A file system of its own, where this process may mount one.
class SmallDisk {
 public:
  explicit SmallDisk(const fs::path& folder, const char* options) : folder_(folder) {
    mounted_ = ::mount("tmpfs", folder.c_str(), "tmpfs", 0, options) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  fs::path folder_;
  bool mounted_ = false;
};

TEST(Shard, FullDiskIsAnErrorThatNamesTheFileAndLeavesNothing) {
  const test::TemporaryFolder folder;
  test::WriteShard(folder / "a.lmdb", 0, 200, 100'000);
  const std::uint64_t bytes = fs::file_size(folder / "a.lmdb");
  fs::remove(folder / "a.lmdb");
  // Full from the beginning, in the middle, and when one page is missing.
  for (const std::uint64_t room : {std::uint64_t{4096}, bytes / 2, bytes - 4096}) {
    const std::string options = fmt::format("size={}", room);
    const SmallDisk disk(folder.path(), options.c_str());
    if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a small disk";
    const std::string text =
        test::ErrorOf([&] { test::WriteShard(folder / "a.lmdb", 0, 200, 100'000); });
    EXPECT_THAT(text, HasSubstr("a.lmdb: "));
    EXPECT_THAT(text, HasSubstr("No space left on device")) << options;
    EXPECT_THAT(FilesIn(folder.path()), IsEmpty());
  }
}

// A small shard whose bytes are damaged and read again. It has every kind of page: two levels,
// records inside pages and in overflow runs.
class DamagedShard : public testing::Test {
 protected:
  static constexpr std::uint64_t kRecords = 9;
  static constexpr std::size_t PayloadBytes(std::uint64_t number) {
    return number % 3 == 0 ? 5000 : 1500;
  }

  void SetUp() override {
    ShardWriter writer(path_);
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      writer.Append(SerializeRecord(OwnedRecord(i, PayloadBytes(i)).view));
    }
    writer.Finish();
    good_ = ReadFile(path_);
  }

  void Write(std::size_t offset, std::string_view bytes) {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<::off_t>(offset)),
              static_cast<::ssize_t>(bytes.size()));
    ::close(fd);
  }

  // Opens and reads everything: true when all is as it was written, false when the damage was
  // reported. Anything else fails the test.
  bool ReadsAsBefore() {
    try {
      const ShardReader reader(path_);
      bool whole = reader.size() == kRecords;
      EXPECT_TRUE(whole);
      for (std::uint64_t i = 0; i < reader.size(); ++i) {
        const auto record = reader.Read(i);
        if (!record.ok()) {
          EXPECT_THAT(record.fault().message, HasSubstr(fmt::format("a.lmdb, key {}: ", i)));
          whole = false;
        } else if (i < kRecords) {
          EXPECT_TRUE(test::SameRecord(*record, records_.at(i).view)) << i;
        }
      }
      return whole;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("a.lmdb cannot be read: "));
      return false;
    }
  }

  std::map<std::uint64_t, OwnedRecord> MakeRecords() {
    std::map<std::uint64_t, OwnedRecord> records;
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      records.emplace(std::piecewise_construct, std::forward_as_tuple(i),
                      std::forward_as_tuple(i, PayloadBytes(i)));
    }
    return records;
  }

  const test::TemporaryFolder folder_;
  const fs::path path_ = folder_ / "a.lmdb";
  const std::map<std::uint64_t, OwnedRecord> records_ = MakeRecords();
  std::string good_;
};

TEST_F(DamagedShard, HasEveryKindOfPage) {
  std::map<int, int> kinds;  // by the flags of LMDB's page header
  for (std::size_t page = 0; page < good_.size() / 4096; ++page) {
    ++kinds[good_[page * 4096 + 10]];
  }
  EXPECT_EQ(kinds[0x08], 2);  // meta
  EXPECT_EQ(kinds[0x01], 1);  // branch
  EXPECT_GE(kinds[0x02], 2);  // leaf
  EXPECT_EQ(kinds[0x04], 3);  // first pages of overflow runs
}

TEST_F(DamagedShard, AnyFlippedByteIsReportedOrHarmless) {
  std::size_t reported = 0;
  for (std::size_t at = 0; at < good_.size(); ++at) {
    for (const unsigned pattern : {0x01u, 0x80u, 0xFFu}) {
      // Inside the records one pattern is enough: they are hashed.
      if (pattern != 0xFF && at % 4096 >= 512 && at % 4096 < 3800) continue;
      const char flipped = static_cast<char>(static_cast<unsigned char>(good_[at]) ^ pattern);
      Write(at, {&flipped, 1});
      reported += ReadsAsBefore() ? 0 : 1;
      Write(at, {&good_[at], 1});
      ASSERT_FALSE(HasFailure()) << "byte " << at << ", pattern " << pattern;
    }
  }
  EXPECT_GT(reported, kRecords * 1500);  // at the very least the payloads
  EXPECT_TRUE(ReadsAsBefore());
}

TEST_F(DamagedShard, AnyOverwrittenRunIsReportedOrHarmless) {
  RandomStream random({.seed = 1}, 0);
  for (int round = 0; round < 3000; ++round) {
    // Page headers and tables are where it hurts: half of the runs begin there.
    auto at = random.Below(static_cast<std::uint32_t>(good_.size() - 8));
    if (round % 2 == 0) at = at / 4096 * 4096 + random.Below(160);
    std::string run(1 + random.Below(8), '\0');
    const auto fill = random.Below(3);
    for (char& byte : run) {
      byte = fill == 0 ? '\0' : fill == 1 ? '\xFF' : static_cast<char>(random.Next());
    }
    Write(at, run);
    ReadsAsBefore();
    Write(at, std::string_view(good_).substr(at, run.size()));
    ASSERT_FALSE(HasFailure()) << "bytes " << at << " to " << at + run.size();
  }
}

TEST_F(DamagedShard, AnyLengthIsReported) {
  for (std::size_t size = 0; size < good_.size(); size += 1 + size / 50) {
    fs::resize_file(path_, size);
    EXPECT_THAT(test::ErrorOf([&] { ShardReader reader(path_); }),
                AllOf(HasSubstr("a.lmdb cannot be read: it is cut off"),
                      HasSubstr("restore the file or convert again")))
        << size;
    Write(0, good_);
  }
}

TEST_F(DamagedShard, AnotherKindOfFileIsReported) {
  Write(0, std::string(200, 'x'));
  EXPECT_THAT(test::ErrorOf([&] { ShardReader reader(path_); }),
              HasSubstr("it is not an LMDB file or its first page is damaged"));
}

}  // namespace
}  // namespace millrace::storage
