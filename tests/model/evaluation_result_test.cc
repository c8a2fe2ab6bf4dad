#include "model/evaluation_result.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

namespace millrace::model {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kClasses = 7;
constexpr std::int64_t kSamples = 103;
constexpr std::uint32_t kNotable = 6;
const OtherLabels kOtherLabels(kSamples, {0, 2});
const Metrics kMetrics = MakeMetrics(
    Params::FromJson(R"({"metrics": [{"metric": "macro_f1"}, {"metric": "brier_score"}]})",
                     "evaluation"),
    kClasses);
const EvaluationResult::Options kAll{.samples = kSamples,
                                     .notable = kNotable,
                                     .curves = true,
                                     .other_labels = &kOtherLabels,
                                     .metrics = &kMetrics};

struct Batch {
  std::vector<std::uint64_t> ids;
  at::Tensor logits;
  at::Tensor labels;
  at::Tensor losses;

  Batch Part(std::int64_t begin, std::int64_t end) const {
    return {.ids = {ids.begin() + begin, ids.begin() + end},
            .logits = logits.slice(0, begin, end),
            .labels = labels.slice(0, begin, end),
            .losses = losses.slice(0, begin, end)};
  }
};

Batch RandomBatch(std::int64_t classes = kClasses, std::int64_t samples = kSamples) {
  Batch batch{.ids = std::vector<std::uint64_t>(static_cast<std::size_t>(samples)),
              .logits = at::randn({samples, classes}) * 3,
              .labels = at::randint(classes, {samples}, at::kLong),
              .losses = {}};
  std::iota(batch.ids.begin(), batch.ids.end(), 0);
  batch.losses = at::cross_entropy_loss(batch.logits, batch.labels, {}, at::Reduction::None);
  return batch;
}

void AddTo(EvaluationResult& result, const Batch& batch) {
  result.Add(batch.ids, batch.logits, batch.labels, batch.losses);
}

std::vector<std::uint64_t> Ids(const std::vector<Answer>& answers) {
  std::vector<std::uint64_t> ids;
  for (const Answer& answer : answers) ids.push_back(answer.sample);
  return ids;
}

TEST(EvaluationResult, AnySplitOverRanksInAnyOrderGivesTheSame) {
  const Batch all = RandomBatch();
  EvaluationResult whole(kClasses, kAll);
  AddTo(whole, all);
  for (const std::int64_t batch : {1, 2, 7, 50, 102}) {
    std::vector<EvaluationResult> ranks(3, EvaluationResult(kClasses, kAll));
    std::size_t rank = 0;
    for (std::int64_t end = kSamples; end > 0; end -= batch) {
      AddTo(ranks[rank++ % 3], all.Part(std::max<std::int64_t>(0, end - batch), end));
    }
    ranks[1].MergeNumbers(ranks[2].ToNumbers());
    ranks[1].MergeNumbers(ranks[0].ToNumbers());
    EXPECT_EQ(ranks[1].ToNumbers(), whole.ToNumbers()) << batch;
    EXPECT_EQ(ranks[1].MetricValues(), whole.MetricValues()) << batch;
  }
}

// The example of PyTorch-Ignite shows classes modulo 256.
TEST(EvaluationResult, ClassesBeyondAByteAreThemselves) {
  constexpr std::int64_t kMany = 1000;
  EvaluationResult result(kMany, {.samples = 3, .notable = 3, .curves = true});
  Batch batch{.ids = {0, 1, 2},
              .logits = at::zeros({3, kMany}),
              .labels = at::tensor({497, 999, 256}, at::kLong),
              .losses = {}};
  batch.logits[0][497] = 9;
  batch.logits[1][497 - 256] = 9;
  batch.logits[2][256] = 9;
  batch.losses = at::cross_entropy_loss(batch.logits, batch.labels, {}, at::Reduction::None);
  AddTo(result, batch);
  const std::vector<Answer>& chosen = result.notable().chosen();
  ASSERT_EQ(chosen.size(), 3u);
  EXPECT_EQ(chosen[0].first, 497);
  EXPECT_EQ(chosen[1].first, 241);
  EXPECT_EQ(chosen[1].label, 999);
  EXPECT_EQ(chosen[2].first, 256);
  EXPECT_EQ(result.counts().Top1Rate(), 2.0 / 3);
}

TEST(EvaluationResult, OtherLabelsAreThoseOfTheIds) {
  const OtherLabels labels = {{0}, {}, {1}};
  EvaluationResult result(2, {.samples = 3, .other_labels = &labels});
  result.Add(std::vector<std::uint64_t>{2, 0, 1}, at::tensor({0.0f, 1.0f}).expand({3, 2}),
             at::zeros({3}, at::kLong), at::ones({3}));
  ASSERT_TRUE(result.by_other_labels());
  EXPECT_EQ(result.by_other_labels()->samples, 2);
  EXPECT_EQ(result.by_other_labels()->left_out, 1);
  EXPECT_EQ(result.by_other_labels()->top1, 1);
  EXPECT_EQ(result.counts().top1(), 0);
}

TEST(EvaluationResult, NumbersAreAsManyHoweverLittleThereIs) {
  EvaluationResult full(kClasses, kAll);
  AddTo(full, RandomBatch());
  EXPECT_EQ(EvaluationResult(kClasses, kAll).ToNumbers().size(), full.ToNumbers().size());
}

TEST(EvaluationResult, WhatIsNotAskedForIsNotThere) {
  EvaluationResult result(kClasses, {.samples = kSamples});
  AddTo(result, RandomBatch());
  EXPECT_EQ(result.counts().samples(), kSamples);
  EXPECT_TRUE(result.notable().chosen().empty());
  EXPECT_TRUE(result.notable().hardest().empty());
  EXPECT_FALSE(result.thresholds().has_value());
  EXPECT_FALSE(result.by_other_labels().has_value());
  EXPECT_TRUE(result.MetricValues().empty());
  EXPECT_EQ(result.ToNumbers().size(), result.counts().ToNumbers().size() + 3);
}

TEST(NotableAnswers, HardestAndMostConfusedAreThoseOfAFullSort) {
  const Batch all = RandomBatch();
  EvaluationResult result(kClasses, kAll);
  AddTo(result, all);
  const auto first_of = [](const at::Tensor& order) {
    std::vector<std::uint64_t> ids;
    for (std::uint32_t i = 0; i < kNotable; ++i) {
      ids.push_back(static_cast<std::uint64_t>(order[i].item<std::int64_t>()));
    }
    return ids;
  };
  EXPECT_EQ(Ids(result.notable().hardest()),
            first_of(all.losses.argsort(/*dim=*/0, /*descending=*/true)));
  const at::Tensor probabilities = all.logits.softmax(1);
  const auto [values, classes] = probabilities.topk(2, 1);
  const at::Tensor distances = values.select(1, 0) - values.select(1, 1);
  EXPECT_EQ(Ids(result.notable().most_confused()), first_of(distances.argsort()));
  for (const Answer& answer : result.notable().most_confused()) {
    const auto at = static_cast<std::int64_t>(answer.sample);
    EXPECT_EQ(answer.first, classes[at][0].item<std::int64_t>());
    EXPECT_EQ(answer.second, classes[at][1].item<std::int64_t>());
    EXPECT_EQ(answer.label, all.labels[at].item<std::int64_t>());
    EXPECT_FLOAT_EQ(answer.first_probability, values[at][0].item<float>());
    EXPECT_FLOAT_EQ(answer.second_probability, values[at][1].item<float>());
    EXPECT_FLOAT_EQ(answer.label_probability, probabilities[at][answer.label].item<float>());
    EXPECT_EQ(answer.loss, all.losses[at].item<float>());
    EXPECT_EQ(answer.right(), answer.first == answer.label);
  }
}

TEST(NotableAnswers, ChosenSamplesAreSpreadEvenlyAndTheSameEveryTime) {
  for (const std::int64_t samples : {1, 2, 3, 5, 7, 8, 64, 99, 50'000}) {
    for (const std::uint32_t wanted : {1u, 2u, 3u, 4u, 7u, 12u, 64u}) {
      NotableAnswers notable(wanted, static_cast<std::uint64_t>(samples));
      const Batch all = RandomBatch(2, samples);
      notable.Add(all.ids, all.logits, all.logits.softmax(1), all.labels, all.losses);
      const std::vector<std::uint64_t> ids = Ids(notable.chosen());
      const std::size_t expected = std::min<std::size_t>(wanted, static_cast<std::size_t>(samples));
      ASSERT_EQ(ids.size(), expected) << samples << " " << wanted;
      const double part = static_cast<double>(samples) / static_cast<double>(expected);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(ids[i]), (static_cast<double>(i) + 0.5) * part, 1);
      }
      EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), expected);
    }
  }
}

TEST(NotableAnswers, AmongEqualsTheEarlierSampleAndTheSmallerClassComeFirst) {
  NotableAnswers notable(2, 4);
  const at::Tensor logits = at::zeros({4, 3});
  const at::Tensor labels = at::zeros({4}, at::kLong);
  notable.Add(std::vector<std::uint64_t>{3, 1, 2, 0}, logits, logits.softmax(1), labels,
              at::ones({4}));
  EXPECT_THAT(Ids(notable.hardest()), ElementsAre(0, 1));
  EXPECT_THAT(Ids(notable.most_confused()), ElementsAre(0, 1));
  EXPECT_EQ(notable.hardest()[0].first, 0);
  EXPECT_EQ(notable.hardest()[0].second, 1);
}

// Distinct logits whose probabilities a float32 cannot tell apart.
TEST(NotableAnswers, RightIsWhatTheCountsCallRight) {
  const at::Tensor logits = at::tensor({0.0f, 1e-9f}).view({1, 2});
  const at::Tensor labels = at::zeros({1}, at::kLong);
  EvaluationResult result(2, {.samples = 1, .notable = 1});
  result.Add(std::vector<std::uint64_t>{0}, logits, labels, at::ones({1}));
  EXPECT_EQ(result.counts().top1(), 0);
  EXPECT_FALSE(result.notable().chosen()[0].right());
  EXPECT_EQ(result.notable().chosen()[0].first_probability, 0.5f);
}

TEST(NotableAnswers, NoAnswerIsTheHardestAndNeverConfused) {
  at::Tensor logits = at::randn({3, 4});
  logits[1][2] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor losses =
      at::tensor({1.0f, std::numeric_limits<float>::quiet_NaN(), 2.0f}, at::kFloat);
  NotableAnswers notable(3, 3);
  notable.Add(std::vector<std::uint64_t>{0, 1, 2}, logits, logits.softmax(1),
              at::zeros({3}, at::kLong), losses);
  EXPECT_THAT(Ids(notable.chosen()), ElementsAre(0, 1, 2));
  EXPECT_EQ(notable.chosen()[1].first, -1);
  EXPECT_FALSE(notable.chosen()[1].right());
  EXPECT_THAT(Ids(notable.hardest()), ElementsAre(1, 2, 0));
  EXPECT_THAT(Ids(notable.most_confused()), testing::UnorderedElementsAre(0, 2));
}

TEST(NotableAnswers, SingleClassHasNoSecond) {
  NotableAnswers notable(1, 1);
  notable.Add(std::vector<std::uint64_t>{0}, at::zeros({1, 1}), at::ones({1, 1}),
              at::zeros({1}, at::kLong), at::zeros({1}));
  EXPECT_EQ(notable.chosen()[0].first, 0);
  EXPECT_EQ(notable.chosen()[0].second, -1);
  EXPECT_TRUE(notable.most_confused().empty());
}

// `reaches` [decisions, thresholds], `right` [decisions].
void ExpectCurve(const ThresholdCounts::Curve& curve, const at::Tensor& reaches,
                 const at::Tensor& right) {
  const auto list = [](const at::Tensor& sums) {
    const at::Tensor numbers = sums.to(at::kLong).contiguous();
    const auto* begin = numbers.const_data_ptr<std::int64_t>();
    return std::vector<std::int64_t>(begin, begin + numbers.numel());
  };
  const at::Tensor is_right = right.unsqueeze(1);
  EXPECT_EQ(curve.true_positives, list(reaches.logical_and(is_right).sum(0)));
  EXPECT_EQ(curve.false_positives, list(reaches.logical_and(is_right.logical_not()).sum(0)));
  EXPECT_EQ(curve.true_negatives,
            list(reaches.logical_not().logical_and(is_right.logical_not()).sum(0)));
  EXPECT_EQ(curve.false_negatives, list(reaches.logical_not().logical_and(is_right).sum(0)));
}

TEST(ThresholdCounts, CurvesAreThoseOfEveryDecisionAtEveryThreshold) {
  for (const std::int64_t classes : {1, 2, 10, 11, 40}) {
    const Batch all = RandomBatch(classes);
    const at::Tensor probabilities = all.logits.softmax(1);
    ThresholdCounts counts(classes);
    counts.Add(probabilities, all.labels);
    const at::Tensor thresholds = at::arange(ThresholdCounts::kThresholds);
    const auto reaches = [&](const at::Tensor& of) {
      return of.reshape({-1, 1}).mul(100).floor().ge(thresholds);
    };
    const at::Tensor right =
        all.labels.unsqueeze(1).eq(at::arange(classes, at::kLong));  // [N, classes]
    ExpectCurve(counts.MicroAverage(), reaches(probabilities), right.reshape({-1}));
    ASSERT_EQ(counts.classes_with_curves(), classes <= 10 ? classes : 0);
    for (std::int64_t c = 0; c < counts.classes_with_curves(); ++c) {
      ExpectCurve(counts.OfClass(c), reaches(probabilities.select(1, c)), right.select(1, c));
    }
  }
}

TEST(ThresholdCounts, ProbabilitiesAtTheEdgesFallIntoTheOutermostBins) {
  ThresholdCounts counts(2);
  const float above_one = std::nextafter(1.0f, 2.0f);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  counts.Add(at::tensor({above_one, 0.0f, nan, nan}).view({2, 2}), at::zeros({2}, at::kLong));
  const ThresholdCounts::Curve curve = counts.MicroAverage();
  EXPECT_EQ(curve.true_positives.front(), 2);
  EXPECT_EQ(curve.true_positives[1], 1);
  EXPECT_EQ(curve.true_positives.back(), 1);
  EXPECT_EQ(curve.false_positives.front(), 2);
  EXPECT_EQ(curve.false_positives[1], 0);
}

}  // namespace
}  // namespace millrace::model
