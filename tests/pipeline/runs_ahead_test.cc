#include "pipeline/runs_ahead.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/loader_stages.h"
#include "storage/manifest.h"
#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using test::OwnedRecord;

class RunsAheadTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kRecords = 200;

  void SetUp() override { test::WriteDataset(folder_.path(), kRecords, 3); }

  static bool Holds(const storage::SplitReader& reader, const RunAhead& run, std::uint64_t id) {
    const auto stored = run.BytesOf(id);
    if (stored.empty()) return false;
    const auto record = reader.ReadStored(id, stored);
    // Of the run's memory, not read again.
    return record.ok() && test::SameRecord(*record, OwnedRecord(id).view) &&
           record->payload.data() >= stored.data() &&
           record->payload.data() < stored.data() + stored.size();
  }

  const test::TemporaryFolder folder_;
};

TEST_F(RunsAheadTest, EverySampleThatWasAskedForIsInItsRun) {
  const storage::SplitReader reader(folder_.path(), "train");
  RunsAhead runs(reader);
  // In no order, across the ends of shards, and not all.
  runs.AskForPlanned({.first = 150, .count = 50});
  runs.AskForPlanned({.first = 0, .count = 32});
  runs.AskForNext({.first = 50, .count = 32});
  for (std::uint64_t id = 0; id < kRecords; ++id) {
    const auto run = runs.Find(id);
    const bool asked = id < 32 || (id >= 50 && id < 82) || id >= 150;
    ASSERT_EQ(run != nullptr, asked) << id;
    if (asked) {
      EXPECT_TRUE(Holds(reader, *run, id)) << id;
    }
  }
}

TEST_F(RunsAheadTest, RunIsReadOnceHoweverOftenItIsAskedFor) {
  const storage::SplitReader reader(folder_.path(), "train");
  RunsAhead runs(reader);
  runs.AskForNext({.first = 32, .count = 32});
  const auto run = runs.Find(40);
  runs.AskForNext({.first = 32, .count = 32});
  runs.NextWindow();
  runs.AskForPlanned({.first = 32, .count = 32});
  runs.AskForNext({.first = 32, .count = 32});
  EXPECT_EQ(runs.Find(40), run);
  runs.NextWindow();
  EXPECT_EQ(runs.Find(40), nullptr);
}

TEST_F(RunsAheadTest, RunLastsAsLongAsSomebodyHoldsIt) {
  const storage::SplitReader reader(folder_.path(), "train");
  std::optional<RunsAhead> runs(std::in_place, reader);
  runs->AskForNext({.first = 32, .count = 32});
  const auto run = runs->Find(40);
  ASSERT_TRUE(Holds(reader, *run, 40));
  // Others that would take its memory if it were free.
  for (int window = 0; window < 4; ++window) {
    runs->NextWindow();
    runs->AskForNext({.first = 96, .count = 32});
    ASSERT_TRUE(Holds(reader, *runs->Find(96), 96));
    runs->NextWindow();
    runs->AskForNext({.first = 64, .count = 32});
    ASSERT_TRUE(Holds(reader, *runs->Find(64), 64));
  }
  runs.reset();
  for (std::uint64_t id = 32; id < 64; ++id) EXPECT_TRUE(Holds(reader, *run, id)) << id;
}

TEST_F(RunsAheadTest, LargerRunsFindRoomWhereSmallerOnesWere) {
  const test::TemporaryFolder folder;
  CreateFolders(folder.path());
  test::WriteDataset(folder.path(), 60, 1);
  // A run of 60 of them takes more than the memory that one of two leaves behind.
  const storage::SplitReader reader(folder.path(), "train");
  RunsAhead runs(reader);
  for (const std::uint64_t count : {2U, 60U, 2U, 30U, 60U}) {
    runs.NextWindow();
    runs.NextWindow();
    runs.AskForNext({.first = 0, .count = count});
    for (std::uint64_t id = 0; id < count; ++id) EXPECT_TRUE(Holds(reader, *runs.Find(id), id));
  }
}

TEST_F(RunsAheadTest, RunThatTheDiskDoesNotGiveHasNoBytes) {
  const storage::SplitReader reader(folder_.path(), "train");
  std::filesystem::resize_file(folder_ / storage::ShardFileName("train", 1, 3), 4096);
  RunsAhead runs(reader);
  runs.AskForNext({.first = 70, .count = 32});
  runs.AskForNext({.first = 0, .count = 32});
  EXPECT_TRUE(runs.Find(80)->BytesOf(80).empty());
  EXPECT_TRUE(Holds(reader, *runs.Find(8), 8));
}

TEST_F(RunsAheadTest, EndGivesUpWhatIsNotReadYet) {
  const storage::SplitReader reader(folder_.path(), "train");
  std::vector<std::shared_ptr<const RunAhead>> held;
  {
    RunsAhead runs(reader);
    for (std::uint64_t first = 0; first < kRecords; ++first) {
      runs.AskForNext({.first = first, .count = 1});
      held.push_back(runs.Find(first));
    }
  }
  // Read or not: nobody waits for ever, and nobody gets anything else.
  for (std::uint64_t id = 0; id < kRecords; ++id) {
    const auto stored = held[id]->BytesOf(id);
    EXPECT_TRUE(stored.empty() || Holds(reader, *held[id], id)) << id;
  }
}

// Two and a half windows, in two epochs; of repeated samples one and a fifth.
TEST(BypassedPageCache, EverySampleOfEveryWindowComesFromItsRun) {
  constexpr std::uint64_t kSamples = 2'500;
  const test::TemporaryFolder folder;
  test::WriteDataset(folder / "set", kSamples, 3);
  test::WriteText(folder / "recipe.toml", R"(
[data.train]
shuffle = "blocks"
ops = [{ op = "center_crop", size = 20 }]
[batch]
per_device = 4
[train]
epochs = 2
)");
  for (const char* repeats : {"1", "2"}) {
    const Recipe recipe =
        Recipe::Load(folder / "recipe.toml", {std::string("data.train.repeats=") + repeats});
    // From the beginning, and as a run that was resumed in the middle of a window.
    for (const std::uint64_t begin : {std::uint64_t{0}, std::uint64_t{1'500}}) {
      LoaderStages loaders(recipe, folder / "set", {stages::Phase::kTrain});
      LoaderStages plain(recipe, folder / "set", {stages::Phase::kTrain});
      loaders.BypassPageCache();
      EXPECT_TRUE(loaders.bypasses_page_cache());
      stages::Slot slot(0, 1, 20 * 20 * 3);
      for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
        // What is left of an epoch beyond the last batch is never planned.
        for (std::uint64_t at = epoch == 0 ? begin : 0; at < kSamples - 100; ++at) {
          const stages::Batch batch{
              .epoch = epoch, .first_position = at, .size = 1, .global_batch = 100};
          slot.Begin(batch, {20, 20});
          const stages::Sample sample{.slot = &slot, .index = 0, .key = loaders.KeyAt(batch, at)};
          ASSERT_EQ(sample.key.sample_id, plain.KeyAt(batch, at).sample_id);
          loaders.Plan(sample);
          loaders.Read(sample);
          ASSERT_TRUE(
              test::SameRecord(slot.sample(0).record, OwnedRecord(sample.key.sample_id).view))
              << "position " << at;
        }
      }
      EXPECT_EQ(loaders.reads().total, 0u) << "from the map";
    }
  }
}

}  // namespace
}  // namespace millrace::pipeline
