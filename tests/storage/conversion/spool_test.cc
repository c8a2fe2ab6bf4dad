#include "storage/conversion/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::array<std::uint16_t, 3> kSegments = {7, 8, 60'000};

// Entry `i` of a spool: all its fields differ from those of others.
std::vector<std::byte> Frame(std::uint64_t i) {
  const std::string text = std::to_string(i);
  const std::string payload(static_cast<std::size_t>(100 * i), static_cast<char>('a' + i));
  return MakeFrame({.deal_key = i << 60 | i,
                    .place = {.source = static_cast<std::uint32_t>(i % 3), .position = i << 40},
                    .source_bytes = 1000 + i},
                   {.class_id = "class" + text,
                    .origin = "origin" + text,
                    .found = i % 2 == 0 ? "" : "found" + text,
                    .done = i % 2 == 0 ? "" : "done" + text,
                    .record = {.width = static_cast<std::uint32_t>(i + 1),
                               .height = 9,
                               .subsampling = Subsampling::k422,
                               .repairs = kCmyk,
                               .path = "path" + text,
                               .payload = std::as_bytes(std::span(payload)),
                               .region_index = {.segment_mcus = static_cast<std::uint32_t>(i),
                                                .segment_bytes = kSegments}}});
}

class SpoolTest : public testing::Test {
 protected:
  void Fill(std::uint64_t count) {
    SpoolWriter writer(path_);
    for (std::uint64_t i = 0; i < count; ++i) writer.Append(Frame(i));
    writer.Sync();
  }

  std::vector<FramePlace> Recover() {
    std::vector<FramePlace> frames;
    RecoverSpool(path_, [&](const FramePlace& frame) { frames.push_back(frame); });
    return frames;
  }

  const test::TemporaryFolder folder_;
  const fs::path path_ = folder_ / "pictures.spool";
};

TEST_F(SpoolTest, EntriesComeBackAsTheyWere) {
  Fill(6);
  const SpoolReader reader(path_);
  std::vector<FramePlace> frames;
  reader.List([&](const FramePlace& frame) { frames.push_back(frame); });
  ASSERT_THAT(frames, SizeIs(6));
  std::vector<std::byte> buffer;
  for (std::uint64_t i = 6; i-- > 0;) {
    const std::string text = std::to_string(i);
    EXPECT_EQ(frames[i].facts.deal_key, i << 60 | i);
    EXPECT_EQ(frames[i].facts.place, (SourcePlace{static_cast<std::uint32_t>(i % 3), i << 40}));
    EXPECT_EQ(frames[i].facts.source_bytes, 1000 + i);
    const SpoolEntry entry = reader.Read(frames[i], &buffer);
    EXPECT_EQ(entry.class_id, "class" + text);
    EXPECT_EQ(entry.origin, "origin" + text);
    EXPECT_EQ(entry.found, i % 2 == 0 ? "" : "found" + text);
    EXPECT_EQ(entry.done, i % 2 == 0 ? "" : "done" + text);
    EXPECT_EQ(entry.record.width, i + 1);
    EXPECT_EQ(entry.record.height, 9u);
    EXPECT_EQ(entry.record.subsampling, Subsampling::k422);
    EXPECT_EQ(entry.record.repairs, kCmyk);
    EXPECT_EQ(entry.record.path, "path" + text);
    EXPECT_THAT(entry.record.payload, SizeIs(100 * i));
    // A record without MCUs in its segments has no index.
    EXPECT_EQ(entry.record.region_index.segment_mcus, i);
    EXPECT_THAT(entry.record.region_index.segment_bytes, SizeIs(i == 0 ? 0 : 3));
  }
}

TEST_F(SpoolTest, ThreadsAppendWholeFrames) {
  SpoolWriter writer(path_);
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&writer, t] {
      for (std::uint64_t i = 0; i < 200; ++i) writer.Append(Frame((i + t) % 9));
    });
  }
  threads.clear();
  EXPECT_THAT(Recover(), SizeIs(800));
}

TEST_F(SpoolTest, NoFileIsNoFrames) {
  EXPECT_THAT(Recover(), SizeIs(0));
  SpoolWriter(path_).Sync();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(SpoolTest, CutAnywhereKeepsTheFramesBefore) {
  Fill(4);
  const std::string whole = ReadFile(path_);
  const auto frames = Recover();
  ASSERT_EQ(ReadFile(path_), whole) << "a whole spool is left alone";
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    test::WriteText(path_, whole.substr(0, cut));
    std::size_t kept = 0;
    while (kept < frames.size() && frames[kept].offset + frames[kept].bytes <= cut) ++kept;
    EXPECT_THAT(Recover(), SizeIs(kept)) << cut;
    EXPECT_EQ(fs::file_size(path_),
              kept == 0 ? 0 : frames[kept - 1].offset + frames[kept - 1].bytes);
  }
}

TEST_F(SpoolTest, ChangedByteAnywhereIsNoticed) {
  Fill(3);
  const std::string whole = ReadFile(path_);
  const auto frames = Recover();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    test::WriteText(path_, changed);
    std::size_t kept = 0;
    while (frames[kept].offset + frames[kept].bytes <= at) ++kept;
    EXPECT_THAT(Recover(), SizeIs(kept)) << at;
  }
}

TEST_F(SpoolTest, FramesAreAppendedBehindWhatWasRecovered) {
  Fill(3);
  fs::resize_file(path_, fs::file_size(path_) - 1);
  EXPECT_THAT(Recover(), SizeIs(2));
  {
    SpoolWriter writer(path_);
    writer.Sync();
    writer.Append(Frame(5));
  }
  const auto frames = Recover();
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(frames[2].facts.deal_key, std::uint64_t{5} << 60 | 5);
}

TEST_F(SpoolTest, DamageInAFinishedSpoolIsAnErrorThatNamesIt) {
  Fill(3);
  const auto frames = Recover();
  std::string content = ReadFile(path_);
  content[frames[1].offset + 200] ^= 1;
  test::WriteText(path_, content);
  const SpoolReader reader(path_);
  std::vector<std::byte> buffer;
  EXPECT_EQ(ErrorOf([&] { (void)reader.Read(frames[1], &buffer); }),
            path_.string() + " is damaged at byte " + std::to_string(frames[1].offset) +
                "; remove its folder and convert again");
  EXPECT_EQ(reader.Read(frames[2], &buffer).class_id, "class2");

  content.resize(content.size() - 1);
  test::WriteText(path_, content);
  const SpoolReader cut(path_);
  EXPECT_THAT(ErrorOf([&] { cut.List([](const FramePlace&) {}); }),
              HasSubstr(" is damaged at byte " + std::to_string(frames[2].offset)));
}

TEST_F(SpoolTest, FileThatCannotBeCreatedIsNamed) {
  SpoolWriter writer(folder_ / "missing/pictures.spool");
  EXPECT_EQ(ErrorOf([&] { writer.Append(Frame(0)); }),
            "cannot create " + (folder_ / "missing/pictures.spool").string() +
                ": No such file or directory");
}

}  // namespace
}  // namespace millrace::storage
