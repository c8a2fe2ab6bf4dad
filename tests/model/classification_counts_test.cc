#include "model/classification_counts.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"

namespace millrace::model {
namespace {

constexpr std::int64_t kClasses = 8;

at::Tensor Losses(std::int64_t count) { return at::rand({count}) * 10; }

TEST(ClassificationCounts, AnySplitInAnyOrderGivesTheSameCounts) {
  const std::int64_t count = 101;
  const at::Tensor logits = at::randn({count, kClasses});
  const at::Tensor labels = at::randint(kClasses, {count}, at::kLong);
  const at::Tensor losses = Losses(count);
  ClassificationCounts whole(kClasses);
  whole.Add(logits, labels, losses);
  for (const std::int64_t batch : {1, 2, 7, 50, 100}) {
    ClassificationCounts merged(kClasses);
    for (std::int64_t end = count; end > 0; end -= batch) {
      const std::int64_t begin = std::max<std::int64_t>(0, end - batch);
      ClassificationCounts part(kClasses);
      part.Add(logits.slice(0, begin, end), labels.slice(0, begin, end),
               losses.slice(0, begin, end));
      merged.Merge(part);
    }
    EXPECT_TRUE(merged == whole) << batch;
    EXPECT_EQ(merged.MeanLoss(), whole.MeanLoss());
  }
  EXPECT_NEAR(whole.MeanLoss(), losses.to(at::kDouble).mean().item<double>(), 1e-9);
}

TEST(ClassificationCounts, MatrixRowsAndClassesAddUp) {
  const at::Tensor logits = at::randn({200, kClasses});
  const at::Tensor labels = at::randint(kClasses, {200}, at::kLong);
  ClassificationCounts counts(kClasses);
  counts.Add(logits, labels, Losses(200));
  std::int64_t right = 0;
  for (std::int64_t label = 0; label < kClasses; ++label) {
    std::int64_t row = 0;
    for (std::int64_t answer = 0; answer < kClasses; ++answer)
      row += counts.Confusion(label, answer);
    EXPECT_EQ(row, counts.ClassSamples(label));
    EXPECT_EQ(row, labels.eq(label).sum().item<std::int64_t>());
    right += counts.ClassRight(label);
  }
  EXPECT_EQ(right, counts.top1());
  EXPECT_EQ(right, logits.argmax(1).eq(labels).sum().item<std::int64_t>());
  EXPECT_EQ(counts.samples(), 200);
  EXPECT_DOUBLE_EQ(counts.Top1Rate(), static_cast<double>(right) / 200);
}

TEST(ClassificationCounts, AmongEqualLogitsTheSmallerIndexComesFirst) {
  ClassificationCounts counts(kClasses);
  const at::Tensor labels = at::arange(kClasses, at::kLong);
  counts.Add(at::zeros({kClasses, kClasses}), labels, at::zeros({kClasses}));
  EXPECT_EQ(counts.top1(), 1);
  EXPECT_EQ(counts.top5(), 5);
  for (std::int64_t label = 0; label < kClasses; ++label) EXPECT_EQ(counts.Confusion(label, 0), 1);
}

TEST(ClassificationCounts, FewerThanFiveClassesAreAllInTheTopFive) {
  ClassificationCounts counts(2);
  counts.Add(at::randn({10, 2}), at::randint(2, {10}, at::kLong), at::zeros({10}));
  EXPECT_EQ(counts.top5(), 10);
}

TEST(ClassificationCounts, RowWithNanIsWrongAndOutOfTheMatrix) {
  at::Tensor logits = at::zeros({2, kClasses});
  logits[0][3] = 5;
  logits[1][3] = 5;
  logits[1][0] = std::numeric_limits<float>::quiet_NaN();
  ClassificationCounts counts(kClasses);
  counts.Add(logits, at::full({2}, 3, at::kLong), at::zeros({2}));
  EXPECT_EQ(counts.samples(), 2);
  EXPECT_EQ(counts.top1(), 1);
  EXPECT_EQ(counts.top5(), 1);
  EXPECT_EQ(counts.unanswered(), 1);
  EXPECT_EQ(counts.ClassSamples(3), 2);
  EXPECT_EQ(counts.ClassRight(3), 1);
}

TEST(ClassificationCounts, InfiniteLogitIsAnAnswer) {
  at::Tensor logits = at::zeros({1, kClasses});
  logits[0][6] = std::numeric_limits<float>::infinity();
  logits[0][2] = -std::numeric_limits<float>::infinity();
  ClassificationCounts counts(kClasses);
  counts.Add(logits, at::full({1}, 6, at::kLong), at::zeros({1}));
  EXPECT_EQ(counts.top1(), 1);
}

TEST(ClassificationCounts, LossThatIsNotFiniteShows) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
    ClassificationCounts counts(kClasses);
    at::Tensor losses = at::ones({3});
    losses[1] = bad;
    counts.Add(at::zeros({3, kClasses}), at::zeros({3}, at::kLong), losses);
    EXPECT_TRUE(std::isnan(counts.MeanLoss())) << bad;
  }
}

TEST(ClassificationCounts, NothingAddedGivesZeroRates) {
  const ClassificationCounts counts(kClasses);
  EXPECT_EQ(counts.Top1Rate(), 0);
  EXPECT_EQ(counts.Top5Rate(), 0);
  EXPECT_EQ(counts.MeanLoss(), 0);
}

TEST(ClassificationCounts, LabelOutOfRangeIsAnErrorAndNothingIsCounted) {
  for (const std::int64_t label : {std::int64_t{-1}, kClasses}) {
    ClassificationCounts counts(kClasses);
    at::Tensor labels = at::zeros({3}, at::kLong);
    labels[2] = label;
    try {
      counts.Add(at::zeros({3, kClasses}), labels, at::zeros({3}));
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("but the network has 8 classes"));
    }
    EXPECT_TRUE(counts == ClassificationCounts(kClasses));
  }
}

TEST(ClassificationCounts, WorstMistakesComeInTheOrderOfTheirCounts) {
  // label -> answers
  const std::vector<std::vector<std::int64_t>> answers = {{0, 0, 1, 2, 2}, {1, 0, 0}, {2, 1}};
  ClassificationCounts counts(3);
  for (std::int64_t label = 0; label < 3; ++label) {
    for (const std::int64_t answer : answers[static_cast<std::size_t>(label)]) {
      counts.Add(at::one_hot(at::full({1}, answer, at::kLong), 3).to(at::kFloat),
                 at::full({1}, label, at::kLong), Losses(1));
    }
  }
  using Mistake = ClassificationCounts::Mistake;
  EXPECT_THAT(counts.WorstMistakes(10), testing::ElementsAre(Mistake{0, 2, 2}, Mistake{1, 0, 2},
                                                             Mistake{0, 1, 1}, Mistake{2, 1, 1}));
  EXPECT_THAT(counts.WorstMistakes(1), testing::ElementsAre(Mistake{0, 2, 2}));
}

}  // namespace
}  // namespace millrace::model
