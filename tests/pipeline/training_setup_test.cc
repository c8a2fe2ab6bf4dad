#include "pipeline/training_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/process.h"
#include "model/deterministic.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/storage/record_fixture.h"

namespace millrace::pipeline {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class SquarePictures final : public SampleWork {
 public:
  explicit SquarePictures(int side) : side_(side) {}

  stages::Size PictureSize(stages::Phase) const override { return {side_, side_}; }
  RandomKey KeyAt(const stages::Batch&, std::uint64_t) override { return {}; }
  void Read(const stages::Sample&) override {}
  void Decode(const stages::Sample&) override {}
  void Augment(const stages::Sample&) override {}

 private:
  const int side_;
};

class RecipeOfRepeats : public testing::Test {
 protected:
  std::string ErrorOf(const std::string& repeats, const BatchSizes& batch, std::uint32_t world_size,
                      std::vector<std::string> settings = {}) const {
    test::WriteText(folder_ / "recipe.toml", R"(
[data.train]
ops = [{ op = "center_crop", size = 20 }]
[batch]
per_device = 4
[train]
epochs = 2
)");
    settings.push_back("data.train.repeats=" + repeats);
    const Recipe recipe = Recipe::Load(folder_ / "recipe.toml", settings);
    return test::UsageErrorOf([&] { CheckRepeats(recipe, batch, world_size); });
  }

 private:
  const test::TemporaryFolder folder_;
};

GraphOptions Graph(const Recipe& recipe, std::uint32_t lanes = 1, std::uint32_t per_device = 64,
                   int side = 64) {
  Devices devices;
  devices.cpu_lanes = lanes;
  return MakeGraphOptions(recipe, SquarePictures(side),
                          {.per_device = per_device, .evaluate_per_device = per_device}, devices,
                          /*trains=*/true, /*evaluates=*/false);
}

TEST_F(RecipeOfRepeats, GlobalBatchMustHoldEachSampleThatOften) {
  EXPECT_EQ(ErrorOf("4", {.per_device = 6, .accumulation = 2}, 3), "");
  EXPECT_EQ(ErrorOf("1", {.per_device = 7}, 1), "");
  EXPECT_THAT(ErrorOf("4", {.per_device = 5, .accumulation = 3}, 2),
              EndsWith("recipe.toml: data.train.repeats: is 4, of which the global batch of 30 is "
                       "not a multiple"));
}

TEST_F(RecipeOfRepeats, PicturesMustNotBeMixedWithThemselves) {
  // 2 samples, 5 times: the first of a device's 5 is its last, too.
  const BatchSizes fives{.per_device = 5};
  EXPECT_EQ(ErrorOf("5", fives, 2), "");
  const std::string mix = "data.train.mix=[{ op = 'mixup' }]";
  EXPECT_EQ(ErrorOf("2", fives, 2, {mix}), "");
  EXPECT_EQ(ErrorOf("4", {.per_device = 8}, 2, {mix}), "");
  EXPECT_THAT(ErrorOf("5", fives, 2, {mix}),
              EndsWith("recipe.toml: data.train.repeats: is 5: of the 2 different samples in a "
                       "global batch of 10, `mix` would mix some with themselves; make it smaller, "
                       "or the batch larger"));
  EXPECT_THAT(ErrorOf("4", {.per_device = 4}, 1, {mix}), HasSubstr("of the 1 different samples"));
}

TEST(MakeGraphOptions, AutoWorkersAreTheCoresOfTheBudget) {
  Recipe recipe;
  EXPECT_EQ(Graph(recipe).workers, AvailableCores());
  recipe.cpu_budget = 7;
  EXPECT_EQ(Graph(recipe).workers, 7);
  EXPECT_EQ(Graph(recipe, 4).workers, 7);
}

TEST(MakeGraphOptions, AutoSlotsAreFourPerLaneAndMayGrow) {
  Recipe recipe;
  recipe.workers = 2;
  for (const std::uint32_t lanes : {1u, 2u, 8u}) {
    const GraphOptions options = Graph(recipe, lanes);
    EXPECT_EQ(options.num_slots, 4 * lanes);
    EXPECT_EQ(options.max_slots, 16 * lanes);
  }
}

TEST(MakeGraphOptions, AutoSlotsHoldSamplesForAllWorkers) {
  Recipe recipe;
  recipe.workers = 64;
  // With one in its step and one ready, 64 batches of one sample are being made and one begins.
  EXPECT_EQ(Graph(recipe, 1, /*per_device=*/1).num_slots, 67u);
  EXPECT_EQ(Graph(recipe, 1, /*per_device=*/32).num_slots, 5u);
  EXPECT_EQ(Graph(recipe, 1, /*per_device=*/64).num_slots, 4u);
}

TEST(MakeGraphOptions, DecodingOnAGpuThatNoLaneHasIsRefused) {
  Recipe recipe;
  recipe.decode_device = stages::DecodeDevice::kGpu;
  EXPECT_THAT(
      test::UsageErrorOf([&] { Graph(recipe); }),
      testing::EndsWith("decode.device: is \"gpu\", but lanes are on the CPU; use --devices "
                        "cuda, or remove it"));
}

TEST(MakeGraphOptions, GrowthEndsAtASixteenthOfTheMemory) {
  Recipe recipe;
  recipe.workers = 2;
  // The smallest square of which a slot of 64 takes more than a 5 x 16th of the memory.
  int side = 1024;
  const auto slot_bytes = [&] {
    return std::uint64_t{64} * 3 * static_cast<std::uint64_t>(side * side);
  };
  while (slot_bytes() * 5 * 16 < MemoryLimit()) side += 64;
  EXPECT_LE(Graph(recipe, 1, 64, side).max_slots, 5u);
  EXPECT_EQ(Graph(recipe, 1, 64, side).num_slots, 4u);
}

TEST(MakeGraphOptions, NumbersOfTheRecipeStay) {
  Recipe recipe;
  recipe.workers = 3;
  recipe.num_slots = 5;
  recipe.cpu_budget = 1;
  const GraphOptions options = Graph(recipe, 2);
  EXPECT_EQ(options.workers, 3);
  EXPECT_EQ(options.num_slots, 5u);
  EXPECT_EQ(options.max_slots, 0u);
  EXPECT_EQ(options.least_workers, 0);
}

TEST(MakeGraphOptions, WorkersThatAreNotPinnedFollowTheNeedDownToTwo) {
  Recipe recipe;
  recipe.cpu_budget = 16;
  const GraphOptions options = Graph(recipe);
  EXPECT_EQ(options.workers, 16);
  EXPECT_EQ(options.least_workers, 2);
}

TEST(DescribeGraph, SaysWhatWasChosenAndWhy) {
  Recipe recipe;
  recipe.cpu_budget = 2;
  EXPECT_EQ(
      DescribeGraph(recipe, Graph(recipe), 1),
      "2 workers (auto: the cores of pipeline.cpu_budget; they give way to the devices' threads); "
      "4 "
      "slots of 768.0 KiB (auto: 4 per device, up to 16 where devices wait for data); read-ahead "
      "what is in flight (auto: deeper where reads wait for the disk)");
  recipe.cpu_budget = 16;
  EXPECT_THAT(DescribeGraph(recipe, Graph(recipe), 1),
              HasSubstr("16 workers (auto: the cores of pipeline.cpu_budget, fewer where devices "
                        "need no more; they give way to the devices' threads); "));
  recipe.cpu_budget = 0;
  EXPECT_THAT(DescribeGraph(recipe, Graph(recipe), 1),
              HasSubstr(" workers (auto: the cores of this process"));
  recipe.workers = 64;
  recipe.num_slots = 3;
  recipe.read_ahead = 0;
  EXPECT_EQ(
      DescribeGraph(recipe, Graph(recipe), 1),
      "64 workers (as the recipe says); 3 slots of 768.0 KiB (as the recipe says); read-ahead "
      "0 batches (as the recipe says)");
  recipe.num_slots = 0;
  EXPECT_THAT(DescribeGraph(recipe, Graph(recipe, 1, 1), 1),
              HasSubstr("; 67 slots of 12.0 KiB (auto: batches for all workers)"));
  GraphOptions on_two_nodes = Graph(recipe);
  on_two_nodes.groups = DealWorkers(64, {{.workers = 8, .numa_node = 0}, {8, 1}});
  EXPECT_THAT(DescribeGraph(recipe, on_two_nodes, 1),
              HasSubstr("64 workers on 2 NUMA nodes (as the recipe says); "));
}

TEST(DescribeMoreSlots, SaysWhatWasSeen) {
  EXPECT_EQ(
      DescribeMoreSlots({.before = 4, .now = 7, .waited_ns = 31'240'000, .step_ns = 12'000'000}),
      "7 slots now instead of 4: a device waited 31.2 ms for a batch although all slots had "
      "been full, and its step takes 12.0 ms");
}

TEST(DescribeWorkers, SaysWhatWasSeen) {
  EXPECT_EQ(DescribeWorkers({.before = 64, .now = 11, .busy = 5.23}),
            "11 workers now instead of 64: at the devices' pace 5.2 of them were busy");
  EXPECT_EQ(DescribeWorkers({.before = 11, .now = 64, .waited_ns = 31'240'000}),
            "all 64 workers again instead of 11: a device waited 31.2 ms for a batch");
}

TEST(DescribeDeeperReadAhead, SaysWhatWasSeen) {
  EXPECT_EQ(DescribeDeeperReadAhead({.before = 4, .now = 8, .late_share = 0.314}),
            "read-ahead of 8 batches now instead of 4: 31 % of the last reads waited for the disk");
}

class MakeReadAheadOptionsTest : public test::LoaderTest {
 protected:
  tracking::RunLog log_;
};

TEST_F(MakeReadAheadOptionsTest, AutoGoesUpToTheWholeSplit) {
  const Recipe recipe = LoadRecipe();
  LoaderStages loaders(recipe, dataset_);
  const ReadAheadOptions options = MakeReadAheadOptions(recipe, loaders, loaders.train(), 4, log_);
  EXPECT_EQ(options.batches, 0u);
  EXPECT_EQ(options.most_batches, 24u / 4);
}

TEST_F(MakeReadAheadOptionsTest, NumberOfTheRecipeStays) {
  for (const std::uint32_t depth : {0u, 3u}) {
    const Recipe recipe = LoadRecipe({"pipeline.read_ahead=" + std::to_string(depth)});
    LoaderStages loaders(recipe, dataset_);
    const ReadAheadOptions options =
        MakeReadAheadOptions(recipe, loaders, loaders.train(), 4, log_);
    EXPECT_EQ(options.batches, depth);
    EXPECT_EQ(options.most_batches, 0u);
  }
}

TEST(ShouldBypassPageCache, OnlyOneProcessThatReadsBlocksOfASplitLargerThanMemory) {
  const test::TemporaryFolder folder;
  test::WriteDataset(folder / "set", 6'000, 2);
  test::WriteText(folder / "recipe.toml",
                  "data.train.ops = [{ op = 'center_crop', size = 20 }]\n"
                  "batch.per_device = 4\ntrain.epochs = 1\n");
  const storage::SplitReader reader(folder / "set", "train");
  std::uint64_t bytes = 0;
  for (const storage::ShardInfo& shard : reader.split().shards) bytes += shard.bytes;
  const auto bypasses = [&](const std::string& shuffle, std::uint32_t processes,
                            std::uint64_t memory) {
    const Recipe recipe = Recipe::Load(folder / "recipe.toml", {"data.train.shuffle=" + shuffle});
    return ShouldBypassPageCache(recipe, reader, processes, memory);
  };
  EXPECT_TRUE(bypasses("blocks", 1, bytes));
  EXPECT_EQ(DescribeBypass(reader),
            "training records are read past the page cache, a window of blocks ahead: " +
                FormatBytes(bytes) + " do not fit into the memory");
  EXPECT_FALSE(bypasses("full", 1, bytes));
  EXPECT_FALSE(bypasses("none", 1, bytes));
  EXPECT_FALSE(bypasses("blocks", 2, bytes));
  // A split that fits stays in the page cache from epoch to epoch.
  EXPECT_FALSE(bypasses("blocks", 1, 2 * bytes));
  // 2,048 of its 6,000 samples have no room in half of the memory.
  EXPECT_FALSE(bypasses("blocks", 1, bytes / 2));
}

TEST(MakeReplicas, DeterministicRecipeAllowsDeterministicKernelsOnly) {
  const BatchPlan plan({.train_samples = 64, .per_device = 8, .epochs = 1});
  const std::filesystem::path config =
      std::filesystem::path(MILLRACE_CONFIGS) / "imagenette-resnet18-64px-cpu.toml";
  for (const bool deterministic : {true, false}) {
    const Recipe recipe =
        Recipe::Load(config, {deterministic ? "deterministic=true" : "deterministic=false"});
    (void)MakeReplicas(recipe, 10, Devices{}, plan);
    EXPECT_EQ(model::UsesDeterministicKernels(), deterministic);
  }
}

}  // namespace
}  // namespace millrace::pipeline
