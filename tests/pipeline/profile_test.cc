#include "pipeline/profile/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "pipeline/profile/verdict.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using std::chrono::microseconds;
using testing::Each;
using testing::Ge;
using testing::HasSubstr;
using testing::StartsWith;

// How long each call of a stage sleeps.
using Pace = std::array<microseconds, kNumStages>;

Pace SlowIn(Stage stage, microseconds slow) {
  Pace pace{};
  pace[static_cast<std::size_t>(stage)] = slow;
  return pace;
}

class PacedSamples final : public SampleWork {
 public:
  explicit PacedSamples(const Pace& pace) : pace_(pace) {}

  stages::Size PictureSize(stages::Phase) const override { return {2, 2}; }
  RandomKey KeyAt(const stages::Batch&, std::uint64_t position) override {
    Take(Stage::kPlan);
    return {.sample_id = position};
  }
  void Read(const stages::Sample& sample) override {
    Take(Stage::kRead);
    ++reads_[sample.slot->number()];
  }
  void Decode(const stages::Sample& sample) override {
    Take(Stage::kDecode);
    if (sample.key.sample_id == refused_position) Fail("sample {} is bad", refused_position);
  }
  void Augment(const stages::Sample&) override { Take(Stage::kAugment); }

  std::uint64_t refused_position = ~std::uint64_t{0};  // by decode

  std::uint64_t reads_of(std::uint32_t slot) const { return reads_.at(slot); }

 private:
  void Take(Stage stage) const {
    const microseconds time = pace_[static_cast<std::size_t>(stage)];
    if (time.count() > 0) std::this_thread::sleep_for(time);
  }

  const Pace pace_;
  std::array<std::atomic<std::uint64_t>, 8> reads_{};
};

class PacedLane final : public LaneWork {
 public:
  explicit PacedLane(const Pace& pace, bool steps) : pace_(pace), steps_(steps) {}

  void Copy(stages::Slot&) override { Take(Stage::kCopy); }
  void TrainStep(const stages::Slot&) override {
    if (steps_) Take(Stage::kTrainStep);
  }

 private:
  void Take(Stage stage) const {
    const microseconds time = pace_[static_cast<std::size_t>(stage)];
    if (time.count() > 0) std::this_thread::sleep_for(time);
  }

  const Pace pace_;
  const bool steps_;
};

constexpr std::uint32_t kBatch = 4;

struct PacedGraph {
  explicit PacedGraph(const Pace& pace) : samples(pace) {
    const auto lanes_that = [this, pace](bool step) {
      return [this, pace, step](const Stop&) {
        std::vector<std::unique_ptr<LaneWork>> made;
        for (std::uint32_t i = 0; i < lanes; ++i) {
          made.push_back(std::make_unique<PacedLane>(pace, step));
        }
        return made;
      };
    };
    feed_lanes = lanes_that(false);
    step_lanes = lanes_that(true);
  }

  Measurements Measure(bool steps = true) {
    return MeasureGraph(options, {.samples = samples,
                                  .lanes = lanes,
                                  .batches = [this] { return Batches(); },
                                  .feed_lanes = feed_lanes,
                                  .step_lanes = steps ? step_lanes : MakeLanes{}});
  }

  std::function<std::optional<stages::Batch>()> Batches() const {
    return [this, next = std::uint64_t{0}]() mutable -> std::optional<stages::Batch> {
      if (next == most_batches) return std::nullopt;
      const stages::Batch batch{.sequence = next,
                                .lane = static_cast<std::uint32_t>(next % lanes),
                                .first_position = next * kBatch,
                                .size = kBatch};
      ++next;
      return batch;
    };
  }

  PacedSamples samples;
  std::uint32_t lanes = 1;
  std::uint64_t most_batches = ~std::uint64_t{0};
  MakeLanes feed_lanes;
  MakeLanes step_lanes;
  MeasureOptions options{
      .graph = {.workers = 2, .num_slots = 4, .max_batch = kBatch, .max_image_bytes = 12},
      .seconds = 0.15,
      .progress = {}};
};

class SlowStage : public testing::TestWithParam<Stage> {};

TEST_P(SlowStage, IsWhatTheVerdictNames) {
  // Every stage takes a little, this one far more: per batch as long as four samples take.
  const bool is_per_batch = GetParam() == Stage::kCopy || GetParam() == Stage::kTrainStep;
  Pace pace = SlowIn(GetParam(), microseconds(is_per_batch ? 12'000 : 6'000));
  for (const Stage other : {Stage::kRead, Stage::kDecode, Stage::kAugment, Stage::kTrainStep}) {
    auto& time = pace[static_cast<std::size_t>(other)];
    if (other != GetParam()) time = microseconds(200);
  }
  PacedGraph graph(pace);
  const Verdict verdict = Judge(graph.Measure(), graph.options.graph.workers, 2);
  EXPECT_EQ(verdict.limit, StageName(GetParam())) << verdict.sentence;
  EXPECT_THAT(verdict.sentence, StartsWith(std::string(StageName(GetParam())) + "-bound: "));
  EXPECT_FALSE(verdict.advice.empty());
}

TEST_P(SlowStage, IsNamedWithoutATrainStepToo) {
  if (GetParam() == Stage::kTrainStep) return;
  PacedGraph graph(SlowIn(GetParam(), microseconds(4'000)));
  const Verdict verdict = Judge(graph.Measure(/*steps=*/false), graph.options.graph.workers, 2);
  EXPECT_EQ(verdict.limit, StageName(GetParam())) << verdict.sentence;
}

INSTANTIATE_TEST_SUITE_P(All, SlowStage,
                         testing::Values(Stage::kPlan, Stage::kRead, Stage::kDecode,
                                         Stage::kAugment, Stage::kCopy, Stage::kTrainStep),
                         [](const auto& stage) { return std::string(StageName(stage.param)); });

TEST(MeasureGraph, OneSlotIsWhatTheVerdictNamesWhenNobodyIsBusy) {
  Pace pace = SlowIn(Stage::kDecode, microseconds(2'000));
  pace[static_cast<std::size_t>(Stage::kTrainStep)] = microseconds(4'000);
  PacedGraph graph(pace);
  graph.options.graph.num_slots = 1;
  const Verdict verdict = Judge(graph.Measure(), graph.options.graph.workers, 2);
  EXPECT_EQ(verdict.limit, "slots");
  EXPECT_THAT(verdict.advice, HasSubstr("pipeline.slots"));
}

TEST(MeasureGraph, RatesAreThoseOfThePaces) {
  Pace pace = SlowIn(Stage::kDecode, microseconds(1'000));
  pace[static_cast<std::size_t>(Stage::kTrainStep)] = microseconds(40'000);
  PacedGraph graph(pace);
  const Measurements measured = graph.Measure();
  ASSERT_TRUE(measured.whole && measured.lanes);
  // 4 pictures each 40 ms; sleeps are never shorter than asked for. On a busy machine those of the
  // workers, which give way to everybody, may be several times as long: hence so slow a step.
  EXPECT_LE(measured.whole->use.images_per_s, 100);
  EXPECT_LE(measured.lanes->use.images_per_s, 100);
  // 2 workers, 1 ms a picture.
  EXPECT_LE(measured.feed.use.images_per_s, 2000);
  EXPECT_GT(measured.feed.use.images_per_s, measured.whole->use.images_per_s);
  for (const Measurement* one : {&*measured.whole, &measured.feed, &*measured.lanes}) {
    EXPECT_GE(one->use.span.seconds(), 0.1);
    EXPECT_GE(one->use.batches, 4u);
    EXPECT_EQ(one->use.samples, one->use.batches * kBatch);
    EXPECT_EQ(one->dropped, 0u);
  }
  EXPECT_EQ(&measured.main(), &*measured.whole);
}

TEST(MeasureGraph, TrainStepAloneGetsBatchesThatWereMadeOnce) {
  PacedGraph graph(SlowIn(Stage::kTrainStep, microseconds(1'000)));
  std::uint64_t before = 0;
  graph.options.progress = [&](std::string_view label, double) {
    if (label == "feed alone") before = graph.samples.reads_of(0);
  };
  const Measurements measured = graph.Measure();
  // At least one more picture than seen in the middle of the feed's run, but no more than the rest
  // of its batches and one batch to keep.
  const auto decodes =
      std::count_if(measured.lanes->calls.begin(), measured.lanes->calls.end(),
                    [](const StageCall& call) { return call.stage == Stage::kDecode; });
  EXPECT_GT(decodes, 10 * kBatch);
  EXPECT_GT(before, 0u);
  EXPECT_LE(graph.samples.reads_of(0), before + 4 * kBatch);
}

TEST(MeasureGraph, SeveralLanesAreMeasuredTogether) {
  PacedGraph graph(SlowIn(Stage::kTrainStep, microseconds(5'000)));
  graph.lanes = 3;
  graph.options.graph.num_slots = 8;
  const Measurements measured = graph.Measure();
  EXPECT_GT(measured.whole->use.lanes_busy, 0.5);
  EXPECT_LE(measured.whole->use.lanes_busy, 1.0 + 1e-9);
  EXPECT_LE(measured.whole->use.images_per_s, 3 * 800);
  EXPECT_GT(measured.whole->use.images_per_s, 800);
}

TEST(MeasureGraph, ProgressNamesEachMeasurementInTurn) {
  PacedGraph graph(SlowIn(Stage::kTrainStep, microseconds(2'000)));
  std::vector<std::string> labels;
  std::vector<double> seconds;
  graph.options.progress = [&](std::string_view label, double done_s) {
    if (labels.empty() || labels.back() != label) labels.emplace_back(label);
    seconds.push_back(done_s);
  };
  (void)graph.Measure();
  EXPECT_THAT(labels,
              testing::ElementsAre("with the train step", "feed alone", "train step alone"));
  EXPECT_THAT(seconds, Each(Ge(0.0)));
  EXPECT_LE(*std::max_element(seconds.begin(), seconds.end()), graph.options.seconds);
}

TEST(MeasureGraph, EndOfTheBatchesIsAnErrorThatSaysHowManyItTakes) {
  PacedGraph graph(Pace{});
  graph.most_batches = 8;
  EXPECT_EQ(test::ErrorOf([&] { (void)graph.Measure(); }),
            "the graph ended after too few steps to measure: it takes more than 8 of each device");
}

TEST(MeasureGraph, FailureOfAStageEndsTheProfile) {
  class Broken final : public LaneWork {
   public:
    void Copy(stages::Slot&) override { throw Error("copy broke"); }
    void TrainStep(const stages::Slot&) override {}
  };
  PacedGraph graph(Pace{});
  graph.feed_lanes = [](const Stop&) {
    std::vector<std::unique_ptr<LaneWork>> made;
    made.push_back(std::make_unique<Broken>());
    return made;
  };
  EXPECT_EQ(test::ErrorOf([&] { (void)graph.Measure(/*steps=*/false); }),
            "copy broke (copy: 1 of 1 calls failed)");
}

TEST(MeasureGraph, SampleThatAStageRefusesEndsTheProfileWithItsStage) {
  PacedGraph graph(Pace{});
  graph.samples.refused_position = 9;
  EXPECT_THAT(test::ErrorOf([&] { (void)graph.Measure(); }),
              testing::MatchesRegex("sample 9 is bad \\(decode: 1 of [1-9][0-9]* calls failed\\)"));
}

// Measurements of a made-up graph, for verdicts.
Measurement Used(double images_per_s, double workers_busy, double lanes_busy,
                 const std::map<Stage, double>& busy_cores) {
  Measurement measured{};
  GraphUse& use = measured.use;
  use.span = {.begin_ns = 0, .end_ns = 1'000'000'000};
  use.images_per_s = images_per_s;
  use.workers_busy = workers_busy;
  use.lanes_busy = lanes_busy;
  use.backlog = workers_busy;
  for (const auto& [stage, cores] : busy_cores) {
    use.stages[static_cast<std::size_t>(stage)].busy_cores = cores;
  }
  return measured;
}

TEST(Judge, FeedBoundSaysHowManyCoresTheDeviceNeeds) {
  const Measurements measured{
      .whole = Used(1420, 0.98, 0.46, {{Stage::kDecode, 1.76}, {Stage::kAugment, 0.2}}),
      .feed = Used(1425, 0.99, 0.05, {{Stage::kDecode, 1.78}, {Stage::kAugment, 0.2}}),
      .lanes = Used(3100, 0.01, 1, {})};
  EXPECT_EQ(
      Judge(measured, 2, 2).sentence,
      "decode-bound: 1,420 images/s on 2 cores; the device could take 3,100; 5 cores would do");
  EXPECT_EQ(
      Judge(measured, 4, 2).sentence,
      "decode-bound: 1,420 images/s with 4 workers on 2 cores; the device could take 3,100; 5 "
      "workers would do");
}

TEST(Judge, DeviceBoundSaysWhatTheFeedCouldDo) {
  const Measurements measured{.whole = Used(310, 0.4, 0.998, {{Stage::kTrainStep, 0.99}}),
                              .feed = Used(1420, 0.99, 0.05, {{Stage::kDecode, 1.78}}),
                              .lanes = Used(312, 0.01, 1, {})};
  EXPECT_EQ(Judge(measured, 2, 2).sentence,
            "train_step-bound: 310 images/s; the device waits for data 0.2 % of the time; the feed "
            "alone makes 1,420 images/s on 2 cores, 4.6 times as many");
}

TEST(Judge, LaneThatOnlyLooksBusyIsNotBlamed) {
  // Its thread is woken late on cores that the workers use.
  const Measurements measured{.whole = Used(3090, 0.99, 0.98, {{Stage::kDecode, 1.7}}),
                              .feed = Used(3089, 0.99, 0.05, {{Stage::kDecode, 1.7}}),
                              .lanes = Used(3320, 0.01, 1, {})};
  EXPECT_EQ(Judge(measured, 2, 2).limit, "decode");
}

TEST(Judge, WorkersThatAreSeldomInAStageLimitWhenSamplesWaitForThem) {
  Measurement feed = Used(90'000, 0.4, 0.2, {{Stage::kDecode, 0.5}, {Stage::kAugment, 0.3}});
  feed.use.backlog = 0.98;
  EXPECT_EQ(Judge({.whole = {}, .feed = feed, .lanes = {}}, 2, 2).limit, "decode");
  feed.use.backlog = 0.3;
  EXPECT_EQ(Judge({.whole = {}, .feed = feed, .lanes = {}}, 2, 2).limit, "slots");
}

TEST(Judge, FeedWithoutATrainStepSaysWhereItsTimeGoes) {
  const Measurements measured{
      .whole = {},
      .feed = Used(9.5, 0.99, 0.05, {{Stage::kDecode, 0.75}, {Stage::kRead, 0.25}}),
      .lanes = {}};
  EXPECT_EQ(Judge(measured, 1, 2).sentence,
            "decode-bound: 9.5 images/s on 1 core, 75 % of the workers' time in decode");
}

}  // namespace
}  // namespace millrace::pipeline
