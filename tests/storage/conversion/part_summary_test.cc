#include "storage/conversion/part_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

bool operator==(SourcePart a, SourcePart b) { return a.index == b.index && a.count == b.count; }

PartSummary Example() {
  PartSummary summary{.plan = ~std::uint64_t{0},
                      .settings = {.seed = ~std::uint64_t{0}, .on_bad = "skip", .variant = "v"},
                      .spools = 4,
                      .files = 11,
                      .bytes_in = 12,
                      .left_out = 1,
                      .records = 10,
                      .record_bytes = 13,
                      .in_range = {},
                      .class_ids = {"a", "é"},
                      .class_names = {{"a", "Name"}},
                      .ignored = {"notes.txt"}};
  summary.in_range[3] = 4;
  summary.in_range[255] = 6;
  return summary;
}

TEST(PartSummary, ComesBackAsItWas) {
  const test::TemporaryFolder folder;
  WritePartSummary(folder.path(), Example());
  EXPECT_EQ(ReadPartSummary(folder.path()), Example());
}

TEST(PartSummary, WhatIsNoSummaryIsAsGoodAsNone) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(ReadPartSummary(folder.path()), std::nullopt);
  WritePartSummary(folder.path(), Example());
  const std::string text = ReadFile(folder / "done.json");
  for (const std::string& changed :
       {std::string(), text.substr(0, text.size() / 2), std::string("[]"), std::string("{}"),
        std::string(text).replace(text.find("ffff"), 4, "gggg")}) {
    WriteFileAtomically(folder / "done.json", changed);
    EXPECT_EQ(ReadPartSummary(folder.path()), std::nullopt) << changed;
  }
}

TEST(PartPlan, ComesBackOrIsAsGoodAsNone) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(ReadPartPlan(folder.path()), std::nullopt);
  WritePartPlan(folder.path(), 77);
  EXPECT_EQ(ReadPartPlan(folder.path()), 77u);
  WriteFileAtomically(folder / "plan.json", "{\"plan\": 77}");
  EXPECT_EQ(ReadPartPlan(folder.path()), std::nullopt);
}

TEST(WorkFolder, PartsAreListedByNumber) {
  const test::TemporaryFolder folder;
  const fs::path work = WorkFolder(folder.path(), "train");
  EXPECT_EQ(work.filename(), ".convert-train");
  EXPECT_THAT(ListParts(work), IsEmpty());
  for (const std::uint32_t i : {11u, 2u}) fs::create_directories(PartFolder(work, {i, 16}));
  fs::create_directories(work / "part-7-of-16");
  fs::create_directories(work / "part-00001-of-00016.bak");
  const auto parts = ListParts(work);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_TRUE((parts[0] == SourcePart{2, 16}) && (parts[1] == SourcePart{11, 16}));
  fs::create_directories(PartFolder(work, {0, 8}));
  EXPECT_EQ(test::ErrorOf([&] { (void)ListParts(work); }),
            work.string() +
                " holds the work of 8 workers and of 16; remove the folder and convert "
                "again");
}

TEST(WorkFolder, EveryRangeOfKeysHasItsSpool) {
  for (const std::uint32_t spools : {1u, 2u, 64u, 256u}) {
    for (std::size_t range = 0; range < kKeyRanges; ++range) {
      const auto spool = SpoolOfRange(range, spools);
      EXPECT_LE(spool * kKeyRanges / spools, range);
      EXPECT_GT((spool + 1) * kKeyRanges / spools, range);
    }
  }
  EXPECT_EQ(KeyRange(0), 0u);
  EXPECT_EQ(KeyRange(~std::uint64_t{0}), 255u);
}

}  // namespace
}  // namespace millrace::storage
