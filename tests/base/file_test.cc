#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/error.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The text of the Error that `action` throws; a failed test when it throws none.
std::string ErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

class FileTest : public ::testing::Test {
 protected:
  std::size_t CountEntries() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      ++count;
    }
    return count;
  }

  const test::TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_ / "état 1.json";
};

// Caps the size of files that this process may write, while it lives; writing more fails with
// EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    static_cast<void>(std::signal(SIGXFSZ, old_handler_));
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*old_handler_)(int);
  rlimit old_limit_{};
};

// Root may write everywhere, so a test of permissions becomes somebody else for its duration.
class OrdinaryUser {
 public:
  OrdinaryUser() : is_root_(::geteuid() == 0) {
    if (is_root_) {
      EXPECT_EQ(::seteuid(65534), 0);
    }
  }
  ~OrdinaryUser() {
    if (is_root_) {
      EXPECT_EQ(::seteuid(0), 0);
    }
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  bool is_root_;
};

TEST_F(FileTest, ReadReturnsWhatWasWritten) {
  std::string text(300000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31);
  WriteFileAtomically(file_, text);
  EXPECT_EQ(ReadFile(file_), text);
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, ReadOfAnEmptyFileIsEmpty) {
  WriteFileAtomically(file_, "");
  EXPECT_EQ(ReadFile(file_), "");
}

TEST_F(FileTest, ReadOfAMissingFileNamesIt) {
  EXPECT_EQ(ErrorOf([&] { ReadFile(file_); }),
            "cannot open " + file_.string() + ": No such file or directory");
}

TEST_F(FileTest, ReadOfAFolderNamesIt) {
  EXPECT_EQ(ErrorOf([&] { ReadFile(folder_.path()); }),
            "cannot read " + folder_.path().string() + ": Is a directory");
}

TEST_F(FileTest, CommitReplacesTheOldFile) {
  WriteFileAtomically(file_, "a longer old text");
  WriteFileAtomically(file_, "new");
  EXPECT_EQ(ReadFile(file_), "new");
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, NothingIsSeenBeforeCommit) {
  WriteFileAtomically(file_, "old");
  AtomicFile file(file_);
  file.Write("new");
  EXPECT_EQ(ReadFile(file_), "old");
  file.Commit();
  EXPECT_EQ(ReadFile(file_), "new");
}

TEST_F(FileTest, LeavingWithoutCommitKeepsTheOldFile) {
  WriteFileAtomically(file_, "old");
  {
    AtomicFile file(file_);
    file.Write("half of the n");
  }
  EXPECT_EQ(ReadFile(file_), "old");
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, LeftoverOfAKilledWriterIsOverwritten) {
  WriteFileAtomically(file_.string() + ".tmp", "a long leftover of a writer that was killed");
  WriteFileAtomically(file_, "new");
  EXPECT_EQ(ReadFile(file_), "new");
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, BytesReplacedInTheMiddleLeaveTheRestAsItWas) {
  AtomicFile file(file_);
  // More than what the disk is told to write at a time.
  const std::string text(3'000'000, 'a');
  file.Write(text);
  file.WriteAt(1'999'999, std::as_bytes(std::span("bc", 2)));
  file.Write("end");
  file.Commit();
  std::string expected = text + "end";
  expected.replace(1'999'999, 2, "bc");
  EXPECT_TRUE(ReadFile(file_) == expected);
}

TEST_F(FileTest, FullDiskGivesAnErrorAndKeepsTheOldFile) {
  WriteFileAtomically(file_, "old");
  // /dev/full answers every write with ENOSPC.
  std::filesystem::create_symlink("/dev/full", file_.string() + ".tmp");
  EXPECT_EQ(ErrorOf([&] { WriteFileAtomically(file_, "new"); }),
            "cannot write " + file_.string() + ": No space left on device");
  EXPECT_EQ(ReadFile(file_), "old");
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, WriteCutShortGivesAnErrorAndKeepsTheOldFile) {
  WriteFileAtomically(file_, "old");
  const std::string text(100000, 'x');
  {
    const FileSizeLimit limit(50000);
    EXPECT_EQ(ErrorOf([&] { WriteFileAtomically(file_, text); }),
              "cannot write " + file_.string() + ": File too large");
  }
  EXPECT_EQ(ReadFile(file_), "old");
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, UnwritableFolderIsNamed) {
  std::filesystem::permissions(folder_.path(), static_cast<std::filesystem::perms>(0555));
  const OrdinaryUser user;
  EXPECT_EQ(ErrorOf([&] { WriteFileAtomically(file_, "new"); }),
            "cannot create " + file_.string() + ".tmp: Permission denied");
}

TEST_F(FileTest, MissingFolderIsNamed) {
  const auto file = folder_ / "nowhere" / "a.json";
  EXPECT_EQ(ErrorOf([&] { AtomicFile unused(file); }),
            "cannot create " + file.string() + ".tmp: No such file or directory");
}

TEST_F(FileTest, FolderInPlaceOfTheFileStaysAsItIs) {
  std::filesystem::create_directory(file_);
  WriteFileAtomically(file_ / "inside", "kept");
  EXPECT_EQ(ErrorOf([&] { WriteFileAtomically(file_, "new"); }),
            "cannot rename " + file_.string() + ".tmp to " + file_.string() + ": Is a directory");
  EXPECT_EQ(ReadFile(file_ / "inside"), "kept");
  EXPECT_EQ(CountEntries(), 1u);
}

TEST_F(FileTest, CreateFoldersMakesParentsAndAcceptsWhatIsThere) {
  const auto folder = folder_ / "a" / "b" / "c";
  CreateFolders(folder);
  CreateFolders(folder);
  EXPECT_TRUE(std::filesystem::is_directory(folder));
}

TEST_F(FileTest, CreateFoldersRefusesAFileInItsPlace) {
  WriteFileAtomically(file_, "a file");
  EXPECT_THAT(ErrorOf([&] { CreateFolders(file_); }),
              StartsWith("cannot create the folder " + file_.string() + ": "));
  EXPECT_THAT(ErrorOf([&] { CreateFolders(file_ / "below"); }), HasSubstr("Not a directory"));
  EXPECT_EQ(ReadFile(file_), "a file");
}

TEST_F(FileTest, SyncOfAMissingFolderNamesIt) {
  const auto folder = folder_ / "nowhere";
  EXPECT_EQ(ErrorOf([&] { SyncFolder(folder); }),
            "cannot sync the folder " + folder.string() + ": No such file or directory");
}

TEST_F(FileTest, MappedFileShowsTheBytes) {
  WriteFileAtomically(file_, "mapped text");
  const MappedFile mapped(file_);
  const std::span<const std::byte> bytes = mapped.bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "mapped text");
}

TEST_F(FileTest, MappedFileKeepsItsBytesWhenTheNameIsReplaced) {
  WriteFileAtomically(file_, "old");
  const MappedFile mapped(file_);
  WriteFileAtomically(file_, "new");
  EXPECT_EQ(mapped.bytes()[0], std::byte{'o'});
}

TEST_F(FileTest, EmptyFileMapsToNothing) {
  WriteFileAtomically(file_, "");
  EXPECT_TRUE(MappedFile(file_).bytes().empty());
}

TEST_F(FileTest, MappingWhatIsNoFileNamesIt) {
  EXPECT_EQ(ErrorOf([&] { MappedFile unused(file_); }),
            "cannot open " + file_.string() + ": No such file or directory");
  EXPECT_EQ(ErrorOf([&] { MappedFile unused(folder_.path()); }),
            "cannot read " + folder_.path().string() + ": not a regular file");
}

}  // namespace
}  // namespace millrace
