#include "tracking/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class JournalTest : public testing::Test {
 protected:
  std::unique_ptr<Journal> Open(const Journal::Limits& limits = {}) {
    waiting_.clear();
    return std::make_unique<Journal>(
        folder_, limits, [this](const Journal::Entry& entry) { waiting_.push_back(entry.bytes); });
  }
  std::vector<fs::path> Segments() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == ".log") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  const test::TemporaryFolder root_;
  const fs::path folder_ = root_ / "journal";
  std::vector<std::string> waiting_;  // when the journal was opened last
};

std::vector<std::string> Bytes(const std::vector<Journal::Entry>& entries) {
  std::vector<std::string> bytes;
  for (const Journal::Entry& entry : entries) bytes.push_back(entry.bytes);
  return bytes;
}

TEST_F(JournalTest, EntriesAreReadOnceInOrderWithNumbersFromOneOn) {
  const auto journal = Open();
  EXPECT_THAT(journal->Read(10, 1000), IsEmpty());
  for (const char* bytes : {"a", "", "c"}) EXPECT_TRUE(journal->Append(bytes));
  const auto first = journal->Read(2, 1000);
  EXPECT_THAT(Bytes(first), ElementsAre("a", ""));
  EXPECT_EQ(first[0].number, 1u);
  EXPECT_EQ(first[1].number, 2u);
  EXPECT_TRUE(journal->Append("d"));
  EXPECT_THAT(Bytes(journal->Read(10, 1000)), ElementsAre("c", "d"));
  EXPECT_THAT(journal->Read(10, 1000), IsEmpty());
  EXPECT_EQ(journal->waiting(), 4u);
}

TEST_F(JournalTest, BatchKeepsToItsBytesButForTheFirstEntry) {
  const auto journal = Open();
  for (const std::size_t size : {100u, 40u, 60u, 1u}) journal->Append(std::string(size, 'x'));
  EXPECT_EQ(journal->Read(10, 50).size(), 1u);
  EXPECT_EQ(journal->Read(10, 100).size(), 2u);
  EXPECT_EQ(journal->Read(10, 100).size(), 1u);
}

TEST_F(JournalTest, WhatIsNotAcknowledgedComesAgainAfterARestart) {
  {
    const auto journal = Open();
    for (const char* bytes : {"a", "b", "c", "d"}) journal->Append(bytes);
    const auto entries = journal->Read(3, 1000);
    journal->Acknowledge(entries[1].number, "noted");
    EXPECT_EQ(journal->waiting(), 2u);
  }
  const auto journal = Open();
  EXPECT_THAT(waiting_, ElementsAre("c", "d"));
  EXPECT_EQ(journal->waiting(), 2u);
  EXPECT_EQ(journal->note(), "noted");
  EXPECT_EQ(journal->missing(), 0u);
  journal->Append("e");
  const auto entries = journal->Read(10, 1000);
  EXPECT_THAT(Bytes(entries), ElementsAre("c", "d", "e"));
  EXPECT_EQ(entries.back().number, 5u);
}

TEST_F(JournalTest, DeliveredSegmentsAreRemovedAndNumbersGoOn) {
  {
    const auto journal = Open({.segment_bytes = 100});
    for (int i = 0; i < 20; ++i) journal->Append(std::string(50, 'x'));
    EXPECT_EQ(Segments().size(), 10u);
    const auto entries = journal->Read(100, 10'000);
    journal->Acknowledge(entries[4].number, "");
    EXPECT_EQ(Segments().size(), 8u);
    journal->Acknowledge(entries.back().number, "");
    EXPECT_THAT(Segments(), IsEmpty());
  }
  const auto journal = Open();
  EXPECT_THAT(waiting_, IsEmpty());
  journal->Append("next");
  EXPECT_EQ(journal->Read(1, 100).at(0).number, 21u);
}

TEST_F(JournalTest, FullJournalTakesNothingUntilThereIsRoom) {
  const auto journal = Open({.bytes = 1000, .segment_bytes = 100});
  std::size_t kept = 0;
  while (journal->Append(std::string(76, 'x'), 0.5)) ++kept;  // 100 bytes with its frame
  EXPECT_EQ(kept, 5u) << "half of the room";
  while (journal->Append(std::string(76, 'x'))) ++kept;
  EXPECT_EQ(kept, 10u);
  EXPECT_FALSE(journal->Append("", 0.5));
  journal->Acknowledge(journal->Read(3, 10'000).back().number, "");
  EXPECT_TRUE(journal->Append(std::string(76, 'x')));
  EXPECT_FALSE(journal->Append(std::string(1000, 'x'))) << "larger than all that is free";
  EXPECT_EQ(journal->Read(100, 100'000).size(), 8u);
}

TEST_F(JournalTest, CutAnywhereLosesNothingButTheLastEntry) {
  std::vector<std::size_t> ends;
  {
    const auto journal = Open();
    for (const char* bytes : {"first", "second", "third"}) {
      journal->Append(bytes);
      ends.push_back(fs::file_size(Segments().at(0)));
    }
  }
  const fs::path segment = Segments().at(0);
  const std::string whole = ReadFile(segment);
  const std::vector<std::string> all = {"first", "second", "third"};
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    fs::remove_all(folder_);
    CreateFolders(folder_);
    WriteFileAtomically(segment, whole.substr(0, size));
    std::size_t count = 0;
    while (count < ends.size() && ends[count] <= size) ++count;
    std::vector<std::string> expected(all.begin(),
                                      all.begin() + static_cast<std::ptrdiff_t>(count));
    {
      const auto journal = Open();
      ASSERT_EQ(waiting_, expected) << size;
      journal->Append("more");
    }
    expected.push_back("more");
    const auto journal = Open();
    ASSERT_EQ(waiting_, expected) << size;
    ASSERT_EQ(Bytes(journal->Read(10, 1000)), expected) << size;
  }
}

TEST_F(JournalTest, GapThatAPowerCutLeavesIsCounted) {
  {
    const auto journal = Open({.segment_bytes = 10});
    for (const char* bytes : {"a", "b", "c", "d"}) journal->Append(bytes);
  }
  // The second file never reached the disk, the third only with its length.
  fs::remove(Segments().at(1));
  WriteFileAtomically(Segments().at(1), std::string(fs::file_size(Segments().at(1)), '\0'));
  const auto journal = Open();
  EXPECT_THAT(waiting_, ElementsAre("a", "d"));
  EXPECT_EQ(journal->missing(), 2u);
  EXPECT_EQ(journal->waiting(), 2u);
  const auto entries = journal->Read(10, 100);
  EXPECT_THAT(Bytes(entries), ElementsAre("a", "d"));
  journal->Acknowledge(entries.back().number, "");
  EXPECT_EQ(journal->waiting(), 0u);
}

TEST_F(JournalTest, DeliveredEntriesThatComeBackAreNotDeliveredAgain) {
  {
    const auto journal = Open();
    for (const char* bytes : {"a", "b"}) journal->Append(bytes);
    const fs::path kept = root_ / "kept";
    fs::copy_file(Segments().at(0), kept);
    journal->Acknowledge(journal->Read(2, 100).back().number, "");
  }
  fs::copy_file(root_ / "kept", folder_ / "00000000000000000001.log",
                fs::copy_options::overwrite_existing);
  const auto journal = Open();
  EXPECT_THAT(waiting_, IsEmpty());
  journal->Append("c");
  const auto entries = journal->Read(10, 100);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].number, 3u);
}

TEST_F(JournalTest, DiskWithoutRoomIsAnErrorAndWhatComesLaterCanBeRead) {
  const auto journal = Open();
  journal->Append("before");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit room{.rlim_cur = fs::file_size(Segments().at(0)) + 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &room), 0);
  const std::string error = ErrorOf([&] { journal->Append(std::string(100, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(error, "cannot write " + Segments().at(0).string() + ": File too large");
  journal->Append("after");
  const auto entries = journal->Read(10, 1000);
  EXPECT_THAT(Bytes(entries), ElementsAre("before", "after"));
  EXPECT_EQ(entries.back().number, 2u);
}

TEST_F(JournalTest, DamagedAcknowledgementIsAnErrorThatSaysWhatToDo) {
  Open()->Append("a");
  for (const char* text : {"", "12", "twelve\n", "12 \n"}) {
    WriteFileAtomically(folder_ / "acknowledged", text);
    EXPECT_EQ(ErrorOf([&] { Open(); }),
              fmt::format("{} is damaged; remove the folder {} to give up what waits there",
                          (folder_ / "acknowledged").string(), folder_.string()));
  }
}

TEST_F(JournalTest, AnySequenceOfCallsAndRestartsDeliversEverythingOnce) {
  std::mt19937 random(3);
  const Journal::Limits limits{.segment_bytes = 200};
  auto journal = Open(limits);
  std::uint64_t appended = 0;
  std::uint64_t read = 0;
  std::uint64_t acknowledged = 0;
  for (int i = 0; i < 3000; ++i) {
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
        ++appended;
        journal->Append(fmt::format("{}{}", appended, std::string(random() % 100, ' ')));
        break;
      case 3:
      case 4:
      case 5:
        for (const auto& entry : journal->Read(random() % 5, random() % 300)) {
          ASSERT_EQ(entry.number, ++read);
          ASSERT_EQ(std::stoull(entry.bytes), read);
        }
        break;
      case 6:
        if (read > acknowledged) {
          acknowledged += 1 + random() % (read - acknowledged);
          journal->Acknowledge(acknowledged, "");
        }
        break;
      default:
        if (random() % 10 != 0) break;
        journal.reset();
        journal = Open(limits);
        read = acknowledged;
    }
    ASSERT_EQ(journal->waiting(), appended - acknowledged);
  }
}

}  // namespace
}  // namespace millrace::tracking
