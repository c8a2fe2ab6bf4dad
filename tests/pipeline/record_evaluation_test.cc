#include "pipeline/record_evaluation.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <vector>

#include "tests/pipeline/loader_fixture.h"

namespace millrace::pipeline {
namespace {

class RecordEvaluationTest : public test::LoaderTest {
 protected:
  // A network's word on `count` samples: all of them are class 0's, with one NaN at the end.
  static model::EvaluationResult Result(std::uint64_t count, const std::vector<std::int64_t>& of) {
    const auto size = static_cast<std::int64_t>(count);
    model::EvaluationResult result(3, {.samples = count, .notable = 2, .curves = false});
    std::vector<std::uint64_t> ids(count);
    std::iota(ids.begin(), ids.end(), 0);
    at::Tensor logits = at::zeros({size, 3});
    for (std::int64_t i = 0; i < size; ++i) logits[i][0] = static_cast<double>(i + 1);
    logits[size - 1].fill_(std::numeric_limits<float>::quiet_NaN());
    const at::Tensor labels = at::tensor(of, at::kLong);
    result.Add(ids, logits, labels,
               at::cross_entropy_loss(logits, labels, {}, at::Reduction::None));
    return result;
  }
};

TEST_F(RecordEvaluationTest, CountsAreTheResultsAndSamplesTheSplits) {
  const LoaderStages loaders(LoadRecipe({"data.val.limit=4"}), dataset_);
  const EvaluationRecord record = RecordEvaluation(Result(4, {0, 1, 1, 2}), loaders, "val", 40, 2);
  EXPECT_EQ(record.step, 40u);
  EXPECT_EQ(record.epoch, 2u);
  EXPECT_EQ(record.split, "val");
  EXPECT_EQ(record.samples, 4u);
  EXPECT_EQ(record.top1, 1u);
  EXPECT_EQ(record.unanswered, 1u);
  ASSERT_EQ(record.classes.size(), 3u);
  EXPECT_EQ(record.classes[0].name, loaders.val()->manifest().classes[0].name);
  EXPECT_EQ(record.classes[0].right, 1u);
  EXPECT_EQ(record.classes[1].samples, 2u);
  EXPECT_EQ(record.classes[1].right, 0u);
  ASSERT_EQ(record.mistakes.size(), 1u) << "no answer is not another class";
  EXPECT_EQ(record.mistakes[0].label, 1u);
  EXPECT_EQ(record.mistakes[0].answer, 0u);
  EXPECT_EQ(record.mistakes[0].count, 2u);
  ASSERT_EQ(record.hardest.size(), 2u);
  EXPECT_EQ(record.hardest[0].sample, loaders.EvaluatedSample(stages::Phase::kEvaluate, 3))
      << "no answer comes first";
  EXPECT_FALSE(record.hardest[0].said);
  EXPECT_EQ(record.hardest[1].sample, loaders.EvaluatedSample(stages::Phase::kEvaluate, 2));
  EXPECT_EQ(record.hardest[1].said->label, 0u);
  EXPECT_EQ(record.hardest[1].truth.label, 1u);
  ASSERT_EQ(record.most_confused.size(), 2u);
  EXPECT_EQ(record.most_confused[0].sample, loaders.EvaluatedSample(stages::Phase::kEvaluate, 0));
}

}  // namespace
}  // namespace millrace::pipeline
