#include "pipeline/batch_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using stages::Batch;
using stages::Phase;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

// All batches of one process, in order.
std::vector<Batch> BatchesOf(const BatchPlanOptions& options) {
  BatchPlan plan(options);
  std::vector<Batch> batches;
  while (const auto batch = plan.Next()) batches.push_back(*batch);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(plan.Next()) << "a batch after the end";
  return batches;
}

// The batches of every rank; `lanes_of_processes` {2, 1} is a world of three lanes in two
// processes. `options` holds everything but lanes, ranks and world size.
std::vector<std::vector<Batch>> BatchesByRank(
    BatchPlanOptions options, const std::vector<std::uint32_t>& lanes_of_processes) {
  options.world_size =
      std::accumulate(lanes_of_processes.begin(), lanes_of_processes.end(), std::uint32_t{0});
  options.first_rank = 0;
  std::vector<std::vector<Batch>> ranks(options.world_size);
  for (const std::uint32_t lanes : lanes_of_processes) {
    options.lanes = lanes;
    for (const Batch& batch : BatchesOf(options)) {
      EXPECT_LT(batch.lane, lanes);
      ranks.at(options.first_rank + batch.lane).push_back(batch);
    }
    options.first_rank += lanes;
  }
  return ranks;
}

std::vector<std::vector<std::uint32_t>> Worlds() {
  return {{1}, {2}, {1, 1}, {3}, {2, 1}, {1, 2}, {4}, {1, 1, 1, 1}, {3, 5}};
}

// What a batch makes of its samples, whoever does it.
auto Content(const Batch& batch) {
  return std::tuple(batch.phase, batch.epoch, batch.step, batch.first_position, batch.size);
}

// Everything but the sequence, which counts from where a process began.
auto WithoutSequence(const Batch& batch) {
  return std::tuple_cat(Content(batch),
                        std::tuple(batch.lane, batch.micro_batch, batch.piece, batch.last));
}

template <typename View>
auto Map(const std::vector<Batch>& batches, View view) {
  std::vector<decltype(view(batches.front()))> result;
  for (const Batch& batch : batches) result.push_back(view(batch));
  return result;
}

std::string Describe(const BatchPlanOptions& o, const std::vector<std::uint32_t>& processes = {}) {
  return fmt::format(
      "train {}, per device {}, accumulation {}, processes {}, epochs {}, max_steps {}, first_step "
      "{}, evaluate {} and {} by {} every {}",
      o.train_samples, o.per_device, o.accumulation, processes, o.epochs, o.max_steps, o.first_step,
      o.train_eval_samples, o.evaluate_samples, o.evaluate_per_device, o.validate_every_epochs);
}

// Calls `check` with many training plans of full global batches in every world.
void ForManyPlans(
    const std::function<void(const BatchPlanOptions&, const std::vector<std::uint32_t>&)>& check) {
  for (const auto& processes : Worlds()) {
    for (const std::uint64_t train_samples : {48u, 97u, 300u}) {
      for (const std::uint32_t per_device : {1u, 3u}) {
        for (const std::uint32_t accumulation : {1u, 2u}) {
          for (const std::uint64_t max_steps : {0u, 7u}) {
            const BatchPlanOptions options{.train_samples = train_samples,
                                           .train_eval_samples = train_samples % 2 == 0 ? 0u : 17u,
                                           .evaluate_samples = 11,
                                           .per_device = per_device,
                                           .evaluate_per_device = 4,
                                           .accumulation = accumulation,
                                           .epochs = 3,
                                           .max_steps = max_steps,
                                           .validate_every_epochs = 2};
            SCOPED_TRACE(Describe(options, processes));
            check(options, processes);
            if (testing::Test::HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(BatchPlan, EveryStepOfAllRanksConsumesItsStretchOfTheEpochOnce) {
  ForManyPlans([](const BatchPlanOptions& options, const std::vector<std::uint32_t>& processes) {
    const auto ranks = BatchesByRank(options, processes);
    const std::uint64_t global = options.per_device * options.accumulation * ranks.size();
    const std::uint64_t steps_per_epoch = options.train_samples / global;
    std::map<std::uint64_t, std::vector<std::uint64_t>> positions;  // by step
    std::map<std::uint64_t, std::set<std::uint32_t>> epochs;
    for (const auto& batches : ranks) {
      for (const Batch& batch : batches) {
        if (batch.phase != Phase::kTrain) continue;
        ASSERT_EQ(batch.global_batch, global);
        epochs[batch.step].insert(batch.epoch);
        for (std::uint32_t i = 0; i < batch.size; ++i) {
          positions[batch.step].push_back(batch.first_position + i);
        }
      }
    }
    const std::uint64_t all_steps = steps_per_epoch * options.epochs;
    ASSERT_EQ(positions.size(),
              options.max_steps > 0 ? std::min(all_steps, options.max_steps) : all_steps);
    for (auto& [step, found] : positions) {
      std::vector<std::uint64_t> wanted(global);
      std::iota(wanted.begin(), wanted.end(), step % steps_per_epoch * global);
      std::sort(found.begin(), found.end());
      ASSERT_EQ(found, wanted) << "step " << step;
      ASSERT_EQ(epochs[step],
                (std::set<std::uint32_t>{static_cast<std::uint32_t>(step / steps_per_epoch)}));
    }
  });
}

TEST(BatchPlan, EveryRankHasItsBatchesOfAStepInOrderAndTheLastIsMarked) {
  ForManyPlans([](const BatchPlanOptions& options, const std::vector<std::uint32_t>& processes) {
    const auto ranks = BatchesByRank(options, processes);
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      std::uint64_t step = 0;
      std::uint32_t micro_batch = 0;
      for (const Batch& batch : ranks[rank]) {
        if (batch.phase != Phase::kTrain) continue;
        ASSERT_EQ(batch.step, step);
        ASSERT_EQ(batch.micro_batch, micro_batch);
        ASSERT_EQ(batch.piece, micro_batch * ranks.size() + rank);
        ASSERT_EQ(batch.size, options.per_device);
        ASSERT_EQ(batch.last, micro_batch + 1 == options.accumulation);
        if (++micro_batch == options.accumulation) {
          micro_batch = 0;
          ++step;
        }
      }
      ASSERT_EQ(micro_batch, 0u);
    }
  });
}

TEST(BatchPlan, SequenceNumbersOfAProcessAreConsecutive) {
  for (const std::uint64_t first_step : {0u, 5u}) {
    for (const bool evaluate_first : {false, true}) {
      const auto batches = BatchesOf({.train_samples = 100,
                                      .evaluate_samples = 30,
                                      .per_device = 4,
                                      .evaluate_per_device = 7,
                                      .accumulation = 2,
                                      .lanes = 2,
                                      .first_rank = 1,
                                      .world_size = 3,
                                      .epochs = 3,
                                      .first_step = first_step,
                                      .evaluate_first = evaluate_first});
      ASSERT_GT(batches.size(), 20u);
      for (std::size_t i = 0; i < batches.size(); ++i) ASSERT_EQ(batches[i].sequence, i);
    }
  }
}

TEST(BatchPlan, AccumulationMakesTheBatchesOfAsManyLanes) {
  const BatchPlanOptions accumulated{.train_samples = 103,
                                     .evaluate_samples = 9,
                                     .per_device = 5,
                                     .evaluate_per_device = 3,
                                     .accumulation = 2,
                                     .epochs = 3};
  BatchPlanOptions lanes = accumulated;
  lanes.accumulation = 1;
  lanes.lanes = lanes.world_size = 2;
  EXPECT_EQ(Map(BatchesOf(accumulated), Content), Map(BatchesOf(lanes), Content));
}

TEST(BatchPlan, RanksDoNotDependOnHowTheyAreDealtToProcesses) {
  const BatchPlanOptions options{.train_samples = 100,
                                 .evaluate_samples = 29,
                                 .per_device = 4,
                                 .evaluate_per_device = 3,
                                 .accumulation = 2,
                                 .epochs = 2};
  const auto view = [](const Batch& batch) {
    return std::tuple_cat(Content(batch), std::tuple(batch.micro_batch, batch.piece, batch.last));
  };
  const auto one_process = BatchesByRank(options, {4});
  for (const auto& processes :
       std::vector<std::vector<std::uint32_t>>{{1, 1, 1, 1}, {2, 2}, {3, 1}, {1, 3}}) {
    const auto several = BatchesByRank(options, processes);
    for (std::size_t rank = 0; rank < 4; ++rank) {
      EXPECT_EQ(Map(several[rank], view), Map(one_process[rank], view))
          << fmt::format("rank {} of processes {}", rank, processes);
    }
  }
}

TEST(BatchPlan, EvaluationCoversEverySampleOnceInAnyWorld) {
  for (const auto& processes : Worlds()) {
    for (const std::uint64_t samples : {1u, 2u, 7u, 8u, 9u, 40u, 101u}) {
      for (const std::uint32_t per_device : {1u, 4u, 8u, 200u}) {
        const BatchPlanOptions options{
            .evaluate_samples = samples, .evaluate_per_device = per_device, .evaluate_only = true};
        SCOPED_TRACE(Describe(options, processes));
        std::vector<std::uint64_t> positions;
        std::uint64_t short_batches = 0;
        for (const auto& batches : BatchesByRank(options, processes)) {
          for (const Batch& batch : batches) {
            ASSERT_EQ(batch.phase, Phase::kEvaluate);
            ASSERT_GT(batch.size, 0u);
            ASSERT_LE(batch.size, per_device);
            if (batch.size < per_device) ++short_batches;
            // The last flag: on the rank's last batch and no other.
            ASSERT_EQ(batch.last, &batch == &batches.back());
            for (std::uint32_t i = 0; i < batch.size; ++i) {
              positions.push_back(batch.first_position + i);
            }
          }
        }
        std::sort(positions.begin(), positions.end());
        std::vector<std::uint64_t> wanted(samples);
        std::iota(wanted.begin(), wanted.end(), 0);
        ASSERT_EQ(positions, wanted);
        ASSERT_LE(short_batches, 1u);
      }
    }
  }
}

TEST(BatchPlan, EvaluationsInsideATrainingCoverEverySampleOnceToo) {
  ForManyPlans([](const BatchPlanOptions& options, const std::vector<std::uint32_t>& processes) {
    std::map<std::pair<std::uint64_t, Phase>, std::vector<std::uint64_t>> positions;  // by step
    for (const auto& batches : BatchesByRank(options, processes)) {
      for (const Batch& batch : batches) {
        if (batch.phase == Phase::kTrain) continue;
        for (std::uint32_t i = 0; i < batch.size; ++i) {
          positions[{batch.step, batch.phase}].push_back(batch.first_position + i);
        }
      }
    }
    ASSERT_FALSE(positions.empty());
    for (auto& [evaluation, found] : positions) {
      const auto [step, phase] = evaluation;
      std::sort(found.begin(), found.end());
      std::vector<std::uint64_t> wanted(phase == Phase::kEvaluate ? options.evaluate_samples
                                                                  : options.train_eval_samples);
      std::iota(wanted.begin(), wanted.end(), 0);
      ASSERT_EQ(found, wanted) << "after step " << step;
      ASSERT_TRUE(positions.contains({step, Phase::kEvaluate}));
      ASSERT_EQ(positions.contains({step, Phase::kTrainEval}), options.train_eval_samples > 0);
    }
  });
}

TEST(BatchPlan, ValidationEvaluatesTrainingSamplesBeforeValidationSamples) {
  const BatchPlanOptions options{.train_samples = 20,
                                 .train_eval_samples = 5,
                                 .evaluate_samples = 3,
                                 .per_device = 10,
                                 .evaluate_per_device = 2,
                                 .epochs = 1,
                                 .evaluate_first = true};
  const auto batches = BatchesOf(options);
  const auto phase_and_size = [](const Batch& batch) { return std::pair(batch.phase, batch.size); };
  const std::vector<std::pair<Phase, std::uint32_t>> validation = {
      {Phase::kTrainEval, 2}, {Phase::kTrainEval, 2}, {Phase::kTrainEval, 1},
      {Phase::kEvaluate, 2},  {Phase::kEvaluate, 1},
  };
  std::vector<std::pair<Phase, std::uint32_t>> wanted = validation;
  wanted.insert(wanted.end(), 2, {Phase::kTrain, 10});
  wanted.insert(wanted.end(), validation.begin(), validation.end());
  EXPECT_THAT(Map(batches, phase_and_size), ElementsAreArray(wanted));
  EXPECT_THAT(
      Map(batches, [](const Batch& batch) { return batch.last; }),
      ElementsAre(false, false, true, false, true, true, true, false, false, true, false, true));
  const BatchPlan plan(options);
  ASSERT_EQ(plan.validation().size(), 2u);
  EXPECT_EQ(plan.evaluation(Phase::kTrainEval).samples, 5u);
  EXPECT_EQ(plan.evaluation(Phase::kTrainEval).batches, 3u);
  EXPECT_EQ(plan.evaluation(Phase::kEvaluate).batches, 2u);
  EXPECT_EQ(plan.evaluation(Phase::kTrain).samples, 0u);
}

TEST(BatchPlan, RankWithoutBatchesOfOneEvaluationHasThoseOfTheNext) {
  const auto ranks = BatchesByRank({.train_samples = 8,
                                    .train_eval_samples = 2,
                                    .evaluate_samples = 7,
                                    .per_device = 1,
                                    .evaluate_per_device = 2,
                                    .epochs = 1,
                                    .evaluate_first = true,
                                    .evaluate_only = true},
                                   {2, 2});
  const auto phase_and_position = [](const Batch& batch) {
    return std::pair(batch.phase, batch.first_position);
  };
  EXPECT_THAT(Map(ranks[0], phase_and_position),
              ElementsAre(std::pair(Phase::kTrainEval, 0u), std::pair(Phase::kEvaluate, 0u)));
  for (std::uint64_t rank = 1; rank < 4; ++rank) {
    EXPECT_THAT(Map(ranks[rank], phase_and_position),
                ElementsAre(std::pair(Phase::kEvaluate, 2 * rank)));
    EXPECT_TRUE(ranks[rank][0].last);
  }
}

// The steps after which there is an evaluation, with the epochs that these give as theirs.
std::vector<std::pair<std::uint64_t, std::uint32_t>> Evaluations(const BatchPlanOptions& options) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> found;
  std::uint64_t steps_done = options.first_step;
  for (const Batch& batch : BatchesOf(options)) {
    if (batch.phase == Phase::kTrain) {
      steps_done = batch.step + 1;
    } else {
      EXPECT_EQ(batch.step, steps_done);
      if (found.empty() || found.back().first != batch.step) {
        found.emplace_back(batch.step, batch.epoch);
      }
    }
  }
  return found;
}

TEST(BatchPlan, EvaluationFollowsTheEpochsThatTheRecipeSaysAndTheEnd) {
  BatchPlanOptions options{.train_samples = 43,
                           .evaluate_samples = 3,
                           .per_device = 10,
                           .evaluate_per_device = 2,
                           .epochs = 5};
  options.validate_every_epochs = 1;
  EXPECT_THAT(Evaluations(options), ElementsAre(std::pair(4, 0), std::pair(8, 1), std::pair(12, 2),
                                                std::pair(16, 3), std::pair(20, 4)));
  options.validate_every_epochs = 2;
  EXPECT_THAT(Evaluations(options),
              ElementsAre(std::pair(8, 1), std::pair(16, 3), std::pair(20, 4)));
  options.validate_every_epochs = 0;
  EXPECT_THAT(Evaluations(options), ElementsAre(std::pair(20, 4)));
  options.max_steps = 6;
  EXPECT_THAT(Evaluations(options), ElementsAre(std::pair(6, 1)));
  options.validate_every_epochs = 1;
  EXPECT_THAT(Evaluations(options), ElementsAre(std::pair(4, 0), std::pair(6, 1)));
  options.evaluate_samples = 0;
  options.train_eval_samples = 3;
  EXPECT_THAT(Evaluations(options), ElementsAre(std::pair(4, 0), std::pair(6, 1)));
  options.train_eval_samples = 0;
  EXPECT_THAT(Evaluations(options), IsEmpty());
  EXPECT_EQ(BatchesOf(options).size(), 6u);
}

TEST(BatchPlan, EvaluatesAfterAgreesWithTheBatches) {
  ForManyPlans([](const BatchPlanOptions& options, const std::vector<std::uint32_t>& processes) {
    BatchPlanOptions whole = options;
    whole.lanes = whole.world_size =
        std::accumulate(processes.begin(), processes.end(), std::uint32_t{0});
    const BatchPlan plan(whole);
    std::set<std::uint64_t> found;
    for (const auto& [step, epoch] : Evaluations(whole)) found.insert(step);
    for (std::uint64_t step = 0; step <= plan.total_steps(); ++step) {
      ASSERT_EQ(plan.EvaluatesAfter(step), found.contains(step)) << step;
    }
  });
}

TEST(BatchPlan, ResumedRunGoesOnWithTheBatchesOfTheStraightRun) {
  BatchPlanOptions options{.train_samples = 50,
                           .train_eval_samples = 8,
                           .evaluate_samples = 13,
                           .per_device = 4,
                           .evaluate_per_device = 3,
                           .accumulation = 2,
                           .lanes = 2,
                           .first_rank = 1,
                           .world_size = 3,
                           .epochs = 5,
                           .max_steps = 9,
                           .validate_every_epochs = 2};
  const std::vector<Batch> straight = BatchesOf(options);
  const std::uint64_t total = BatchPlan(options).total_steps();
  ASSERT_EQ(total, 9u);
  for (std::uint64_t first_step = 0; first_step <= total; ++first_step) {
    for (const bool evaluation_pending : {false, true}) {
      options.first_step = first_step;
      options.evaluate_first = evaluation_pending;
      if (evaluation_pending && !BatchPlan(options).EvaluatesAfter(first_step)) continue;
      // Everything that the straight run does once `first_step` steps are done, without or with
      // the evaluation that follows them.
      std::vector<Batch> rest;
      for (const Batch& batch : straight) {
        if (batch.step < first_step) continue;
        const bool of_that_validation = batch.phase != Phase::kTrain && batch.step == first_step;
        if (!of_that_validation || evaluation_pending) rest.push_back(batch);
      }
      EXPECT_EQ(Map(BatchesOf(options), WithoutSequence), Map(rest, WithoutSequence))
          << Describe(options);
    }
  }
}

TEST(BatchPlan, ResumingAtOrBehindTheEndGivesNothing) {
  BatchPlanOptions options{.train_samples = 50,
                           .evaluate_samples = 13,
                           .per_device = 5,
                           .evaluate_per_device = 3,
                           .epochs = 2};
  for (const std::uint64_t first_step : {20u, 21u, 1000u}) {
    options.first_step = first_step;
    EXPECT_THAT(BatchesOf(options), testing::SizeIs(0)) << first_step;
  }
}

TEST(BatchPlan, EvaluationOnlyNeedsNoTrainingSet) {
  const auto batches =
      BatchesOf({.evaluate_samples = 5, .evaluate_per_device = 2, .evaluate_only = true});
  EXPECT_THAT(Map(batches, [](const Batch& batch) { return batch.first_position; }),
              ElementsAre(0, 2, 4));
  EXPECT_THAT(Map(batches, [](const Batch& batch) { return batch.size; }), ElementsAre(2, 2, 1));
}

TEST(BatchPlan, EvaluationOnlyOfAStateInTheMiddleOfATrainingHasNoEpoch) {
  const auto batches = BatchesOf(
      {.evaluate_samples = 3, .evaluate_per_device = 2, .first_step = 7, .evaluate_only = true});
  EXPECT_THAT(Map(batches, [](const Batch& batch) { return batch.step; }), ElementsAre(7, 7));
  EXPECT_THAT(Map(batches, [](const Batch& batch) { return batch.epoch; }), ElementsAre(0, 0));
}

TEST(BatchPlan, CountsFollowFromTheOptions) {
  const BatchPlan plan({.train_samples = 1'281'167,
                        .evaluate_samples = 50'000,
                        .per_device = 64,
                        .evaluate_per_device = 100,
                        .accumulation = 2,
                        .lanes = 2,
                        .world_size = 2,
                        .epochs = 90});
  EXPECT_EQ(plan.global_batch(), 256u);
  EXPECT_EQ(plan.steps_per_epoch(), 5004u);
  EXPECT_EQ(plan.total_steps(), 90u * 5004u);
}

TEST(BatchPlan, SetSmallerThanAGlobalBatchIsAnErrorThatSaysWhatToDo) {
  BatchPlanOptions options{.train_samples = 1023,
                           .per_device = 128,
                           .accumulation = 2,
                           .lanes = 4,
                           .world_size = 4,
                           .epochs = 1};
  EXPECT_EQ(test::UsageErrorOf([&] { BatchPlan plan(options); }),
            "the training split has 1,023 samples, fewer than one global batch of 1,024 "
            "(batch.per_device 128 x 4 devices x accumulation 2): make batch.per_device smaller");
  options.train_samples = 1024;
  EXPECT_EQ(BatchesOf(options).size(), 8u);
}

}  // namespace
}  // namespace millrace::pipeline
