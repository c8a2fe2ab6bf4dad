#include "storage/shard_copy.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kPiece = 4 * kMiB;  // of shard_copy.cc

// The copier looks at nothing but sizes and hashes, so that a shard may be any text here.
class ShardCopyTest : public testing::Test {
 protected:
  static std::string MakeText(std::size_t bytes) {
    std::string text(bytes, '\0');
    RandomStream random({.seed = bytes}, 0);
    for (char& byte : text) byte = static_cast<char>(random.Next());
    return text;
  }

  ShardInfo Write(const std::string& text) const {
    test::WriteText(from_, text);
    return {.file = "shard.lmdb", .records = 1, .bytes = text.size(), .hash = Hash64(text)};
  }

  std::string FaultOfCopying(const ShardInfo& info) const {
    const auto done = CopyShard(from_, info, to_, {});
    return done.ok() ? "" : done.fault().message;
  }

  std::vector<std::string> Left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(local_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  // How much the pipe took: less than all when its reader has gone.
  static std::size_t WriteTo(int pipe, const std::string& text) {
    std::size_t written = 0;
    while (written < text.size()) {
      const ssize_t count = ::write(pipe, text.data() + written, text.size() - written);
      if (count < 0) break;
      written += static_cast<std::size_t>(count);
    }
    return written;
  }

  void SetUp() override { fs::create_directory(local_); }

  const test::TemporaryFolder folder_;
  const fs::path from_ = folder_ / "shard.lmdb";
  const fs::path local_ = folder_ / "local";
  const fs::path to_ = local_ / "copy.lmdb";
};

TEST_F(ShardCopyTest, CopyHasTheSameBytesAtAnySize) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, kPiece - 1, kPiece, kPiece + 1,
                                  2 * kPiece, 2 * kPiece + 12345}) {
    const std::string text = MakeText(bytes);
    const ShardInfo info = Write(text);
    const auto done = CopyShard(from_, info, to_, {});
    ASSERT_TRUE(done.ok()) << done.fault().message;
    EXPECT_TRUE(*done);
    EXPECT_TRUE(ReadFile(to_) == text) << bytes;
    EXPECT_TRUE(HasCopy(to_, info));
    EXPECT_THAT(Left(), testing::ElementsAre("copy.lmdb"));
  }
}

TEST_F(ShardCopyTest, SourceWithAnotherHashIsAFaultAndLeavesNothing) {
  std::string text = MakeText(kPiece + 100);
  const ShardInfo info = Write(text);
  text[kPiece + 7] = static_cast<char>(text[kPiece + 7] ^ 1);
  test::WriteText(from_, text);
  EXPECT_EQ(FaultOfCopying(info), from_.string() +
                                      " is not what manifest.json says (its hash differs); run "
                                      "`millrace verify` on the dataset");
  EXPECT_TRUE(Left().empty());
}

TEST_F(ShardCopyTest, SourceOfAnotherSizeIsAFaultAndLeavesNothing) {
  const std::string text = MakeText(kPiece + 100);
  const ShardInfo info = Write(text);
  for (const std::string& other : {text.substr(1), text + "x"}) {
    test::WriteText(from_, other);
    EXPECT_THAT(FaultOfCopying(info), HasSubstr("(its size differs)"));
    EXPECT_TRUE(Left().empty());
  }
}

TEST_F(ShardCopyTest, SourceThatCannotBeReadIsAFault) {
  const ShardInfo info = Write("shard");
  fs::remove(from_);
  EXPECT_EQ(FaultOfCopying(info), "cannot open " + from_.string() + ": No such file or directory");
  fs::create_directory(from_);
  EXPECT_EQ(FaultOfCopying(info), "cannot read " + from_.string() + ": Is a directory");
  EXPECT_TRUE(Left().empty());
}

TEST_F(ShardCopyTest, TargetThatCannotBeCreatedIsAnError) {
  const ShardInfo info = Write("shard");
  fs::remove(local_);
  EXPECT_THAT(
      ErrorOf([&] { (void)CopyShard(from_, info, to_, {}); }),
      AllOf(StartsWith("cannot create " + to_.string()), EndsWith("No such file or directory")));
}

TEST_F(ShardCopyTest, FullDiskIsAnErrorAndLeavesNothing) {
  const ShardInfo info = Write(MakeText(2 * kMiB));
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit { .rlim_cur = kMiB, .rlim_max = before.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string error = ErrorOf([&] { (void)CopyShard(from_, info, to_, {}); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)std::signal(SIGXFSZ, handler);
  EXPECT_EQ(error, "cannot write " + to_.string() + ": File too large");
  EXPECT_TRUE(Left().empty());
}

TEST_F(ShardCopyTest, CopyThatWasThereIsReplacedOnlyByAWholeOne) {
  const std::string text = MakeText(1000);
  const ShardInfo info = Write(text);
  test::WriteText(to_, "older");
  test::WriteText(from_, "damaged");
  EXPECT_NE(FaultOfCopying(info), "");
  EXPECT_EQ(ReadFile(to_), "older");
  test::WriteText(from_, text);
  EXPECT_EQ(FaultOfCopying(info), "");
  EXPECT_EQ(ReadFile(to_), text);
}

TEST_F(ShardCopyTest, StoppedBeforeItBeginsDoesNothing) {
  const ShardInfo info = Write(MakeText(1000));
  std::stop_source stop;
  stop.request_stop();
  const auto done = CopyShard(from_, info, to_, stop.get_token());
  ASSERT_TRUE(done.ok());
  EXPECT_FALSE(*done);
  EXPECT_TRUE(Left().empty());
}

// What comes out of a pipe comes when the test wants it.
TEST_F(ShardCopyTest, StoppedAmidTheCopyLeavesNothing) {
  ASSERT_EQ(::mkfifo(from_.c_str(), 0600), 0);
  const auto handler = std::signal(SIGPIPE, SIG_IGN);
  std::stop_source stop;
  std::thread writer([&] {
    const int pipe = ::open(from_.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(WriteTo(pipe, MakeText(kPiece)), kPiece);
    stop.request_stop();
    // The second piece is not needed where the copier has noticed already.
    (void)WriteTo(pipe, MakeText(kPiece));
    ::close(pipe);
  });
  const auto done = CopyShard(from_, {.file = "", .records = 1, .bytes = 3 * kPiece, .hash = 1},
                              to_, stop.get_token());
  writer.join();
  (void)std::signal(SIGPIPE, handler);
  ASSERT_TRUE(done.ok()) << done.fault().message;
  EXPECT_FALSE(*done);
  EXPECT_TRUE(Left().empty());
}

TEST_F(ShardCopyTest, KilledAmidTheCopyIsCopiedAnew) {
  ASSERT_EQ(::mkfifo(from_.c_str(), 0600), 0);
  const std::string text = MakeText(2 * kPiece);
  const ShardInfo info{
      .file = "shard.lmdb", .records = 1, .bytes = text.size(), .hash = Hash64(text)};
  const ::pid_t child = ::fork();
  if (child == 0) {
    (void)CopyShard(from_, info, to_, {});
    ::_exit(0);
  }
  const int pipe = ::open(from_.c_str(), O_WRONLY | O_CLOEXEC);
  // When the pipe has taken a piece and a half, the first piece has been written.
  ASSERT_EQ(WriteTo(pipe, text.substr(0, kPiece * 3 / 2)), kPiece * 3 / 2);
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ::close(pipe);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(Left(), testing::ElementsAre("copy.lmdb.tmp"));
  EXPECT_FALSE(HasCopy(to_, info));

  fs::remove(from_);
  test::WriteText(from_, text);
  EXPECT_EQ(FaultOfCopying(info), "");
  EXPECT_TRUE(ReadFile(to_) == text);
  EXPECT_THAT(Left(), testing::ElementsAre("copy.lmdb"));
}

TEST(CopyFolderName, TellsApartWhateverDiffersInTheFiles) {
  const auto name = [](std::vector<ShardInfo> shards) {
    SplitInfo info;
    info.shards = std::move(shards);
    return CopyFolderName("train", info);
  };
  const ShardInfo a{.file = "a", .records = 1, .bytes = 10, .hash = 100};
  const ShardInfo b{.file = "b", .records = 1, .bytes = 10, .hash = 100};
  EXPECT_THAT(name({a, b}), testing::MatchesRegex("train-[0-9a-f]{16}"));
  EXPECT_EQ(name({a, b}), name({a, b}));
  ShardInfo other_bytes = a;
  other_bytes.bytes = 11;
  ShardInfo other_hash = a;
  other_hash.hash = 101;
  const std::vector<std::string> names = {name({}),
                                          name({a}),
                                          name({b}),
                                          name({a, b}),
                                          name({b, a}),
                                          name({other_bytes, b}),
                                          name({other_hash, b})};
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(names[i], names[j]) << i << " " << j;
  }
}

TEST(HasCopy, WantsTheNameAndTheSize) {
  const test::TemporaryFolder folder;
  const ShardInfo info{.file = "a", .records = 1, .bytes = 5, .hash = 0};
  EXPECT_FALSE(HasCopy(folder / "a", info));
  test::WriteText(folder / "a", "1234");
  EXPECT_FALSE(HasCopy(folder / "a", info));
  test::WriteText(folder / "a", "12345");
  EXPECT_TRUE(HasCopy(folder / "a", info));
}

}  // namespace
}  // namespace millrace::storage
