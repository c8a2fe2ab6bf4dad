#include "pipeline/seed_series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/process.h"
#include "pipeline/trainer.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using State = SeedRun::State;

std::size_t Threads() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/task"), {}));
}

class SeedSeriesTest : public test::LoaderTest {
 protected:
  Recipe LoadFor(std::uint64_t seed, const std::string& more = "pipeline.workers=2") const {
    test::WriteText(folder_ / "recipe.toml", R"(
[data.train]
ops = [{ op = "random_resized_crop", size = 8 }]
[data.val]
ops = [{ op = "resize", width = 8, height = 8 }]
[batch]
per_device = 4
[model]
name = "resnet18"
width = 16
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.01
[schedule]
name = "constant"
[train]
epochs = 1
)");
    return Recipe::Load(folder_ / "recipe.toml", {"seed=" + std::to_string(seed), more});
  }

  SeedSeriesOptions Options(std::vector<std::uint64_t> seeds) {
    return {.out = folder_ / "out",
            .seeds = std::move(seeds),
            .load = [this](std::uint64_t seed) { return LoadFor(seed); },
            .train =
                [this](const SeedRun& run, bool resume) {
                  tracking::RunLog log;
                  TrainResult result =
                      Train(LoadFor(run.seed),
                            {.dataset = dataset_,
                             .out = run.folder,
                             .devices = Devices::Parse("cpu"),
                             .resume = {},
                             .resume_newest = resume,
                             .stop_after_step = run.seed == stopping_seed_ ? 2u : 0u},
                            log);
                  log.Finish();
                  trained_.push_back(run.seed);
                  threads_.push_back(Threads());
                  memory_.push_back(ReadResidentMemory().anonymous);
                  return result;
                }};
  }

  std::uint64_t stopping_seed_ = 1000;
  std::vector<std::uint64_t> trained_;
  std::vector<std::size_t> threads_;   // after each run
  std::vector<std::uint64_t> memory_;  // the same [bytes]
};

TEST_F(SeedSeriesTest, ThreadsAndMemoryAreGivenBackBetweenRuns) {
  const SeedSeries series = TrainSeeds(Options({0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(series.exit_code, ExitCode::kDone);
  ASSERT_EQ(threads_.size(), 6u);
  // oneTBB starts a worker when it first needs it, and keeps it.
  EXPECT_LE(threads_[5], threads_[1] + 2) << testing::PrintToString(threads_);
#ifndef __SANITIZE_ADDRESS__  // which keeps what is freed for a while, and finds leaks by itself
  // Weights, gradients and momenta of one run are 8 MiB, so that three would leave 24; what the
  // heap keeps between its blocks grows, too, the more of the machine's work comes between.
  EXPECT_LE(memory_[5], memory_[2] + (std::uint64_t{16} << 20)) << testing::PrintToString(memory_);
#endif
}

TEST_F(SeedSeriesTest, StopsWithTheFirstThatIsStoppedAndGoesOnThere) {
  SeedSeriesOptions options = Options({7, 8, 9});
  stopping_seed_ = 8;
  SeedSeries series = TrainSeeds(options);
  EXPECT_EQ(series.exit_code, ExitCode::kInterrupted);
  EXPECT_THAT(trained_, ElementsAre(7, 8));
  EXPECT_EQ(series.runs[0].state, State::kFinished);
  EXPECT_EQ(series.runs[1].state, State::kStopped);
  EXPECT_EQ(series.runs[1].step, 2u);
  EXPECT_EQ(series.runs[2].state, State::kWaiting);
  EXPECT_EQ(SpreadOf(series, SeedColumns()[0])->count, 1u);

  stopping_seed_ = 1000;
  EXPECT_THAT(test::UsageErrorOf([&] { TrainSeeds(options); }),
              testing::AllOf(testing::StartsWith("seed 8: "),
                             testing::HasSubstr("already holds a run: go on with --resume auto")));
  options.resume = true;
  trained_.clear();
  const double before = series.runs[0].seconds;
  series = TrainSeeds(options);
  EXPECT_THAT(trained_, ElementsAre(7, 8, 9));
  EXPECT_EQ(series.exit_code, ExitCode::kDone);
  EXPECT_EQ(series.runs[0].seconds, before) << "nothing was to do";
  for (const SeedRun& run : series.runs) EXPECT_EQ(run.state, State::kFinished);
  EXPECT_EQ(SpreadOf(series, SeedColumns()[0])->count, 3u);
  const auto json = nlohmann::json::parse(ReadFile(folder_ / "out/seeds.json"));
  EXPECT_EQ(json["summary"]["last_top1"]["runs"], 3);
}

TEST_F(SeedSeriesTest, RunsOfAnotherRecipeAreRefusedBeforeAnythingIsTrained) {
  SeedSeriesOptions options = Options({2});
  TrainSeeds(options);
  options.seeds = {1, 2};
  options.load = [this](std::uint64_t seed) { return LoadFor(seed, "train.epochs=2"); };
  trained_.clear();
  EXPECT_EQ(test::UsageErrorOf([&] { TrainSeeds(options); }),
            (folder_ / "out/seed-2").string() +
                " holds a run of another recipe: train.epochs: 1 before, 2 now; choose another "
                "folder with --out");
  EXPECT_THAT(trained_, ElementsAre());
  // How the pipeline does its work makes no other run.
  options.load = [this](std::uint64_t seed) { return LoadFor(seed, "pipeline.workers=1"); };
  options.seeds = {2};
  EXPECT_EQ(TrainSeeds(options).exit_code, ExitCode::kDone);
}

TEST_F(SeedSeriesTest, DamagedNotesOfAnEarlierCommandAreRefused) {
  test::WriteText(folder_ / "out/seeds.json", "{");
  EXPECT_EQ(test::ErrorOf([&] { TrainSeeds(Options({1})); }),
            (folder_ / "out/seeds.json").string() +
                ": is damaged; remove it and go on with --resume auto");
}

TEST(SeedSeries, SpreadIsOverTheRunsThatAreFinishedAndHaveTheNumber) {
  SeedSeries series;
  series.runs.push_back({.seed = 1, .state = State::kFinished, .best = {{0.5, 0.9}}});
  series.runs.push_back({.seed = 2, .state = State::kFinished});
  series.runs.push_back({.seed = 3, .state = State::kStopped, .best = {{0.1, 0.2}}});
  const auto spread = SpreadOf(series, SeedColumns()[0]);
  ASSERT_TRUE(spread);
  EXPECT_EQ(spread->count, 1u);
  EXPECT_EQ(spread->mean, 0.5);
  EXPECT_FALSE(SpreadOf(series, SeedColumns()[2])) << "there is no last top-1";
}

}  // namespace
}  // namespace millrace::pipeline
