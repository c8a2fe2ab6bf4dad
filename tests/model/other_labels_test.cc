#include "model/other_labels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace millrace::model {
namespace {

constexpr std::int64_t kClasses = 9;
constexpr std::int64_t kSamples = 60;

std::vector<std::uint64_t> Ids(std::int64_t begin, std::int64_t end) {
  std::vector<std::uint64_t> ids;
  for (std::int64_t id = begin; id < end; ++id) ids.push_back(static_cast<std::uint64_t>(id));
  return ids;
}

// None, one, two or three labels.
OtherLabels MakeLabels() {
  OtherLabels labels(kSamples);
  for (std::int64_t id = 0; id < kSamples; ++id) {
    for (std::int64_t i = 0; i < id % 4; ++i) {
      labels[static_cast<std::size_t>(id)].push_back((id + 2 * i) % kClasses);
    }
  }
  return labels;
}

TEST(OtherLabels, CountsAreThoseOfSortedAnswers) {
  const OtherLabels labels = MakeLabels();
  const at::Tensor logits = at::randn({kSamples, kClasses});
  const at::Tensor own = at::randint(kClasses, {kSamples}, at::kLong);
  OtherLabelCounts counts;
  counts.Add(labels, Ids(0, kSamples), logits, own);

  OtherLabelCounts expected;
  const at::Tensor order = logits.argsort(/*dim=*/1, /*descending=*/true);
  for (std::int64_t id = 0; id < kSamples; ++id) {
    const std::vector<std::int64_t>& right = labels[static_cast<std::size_t>(id)];
    ++(right.empty() ? expected.left_out : expected.samples);
    if (right.empty()) continue;
    const auto own_label = own[id].item<std::int64_t>();
    const auto is_right = [&](std::int64_t c) { return std::ranges::count(right, c) > 0; };
    std::vector<std::int64_t> first;
    for (int i = 0; i < 5; ++i) first.push_back(order[id][i].item<std::int64_t>());
    expected.top1 += is_right(first[0]) ? 1 : 0;
    expected.top5 += std::ranges::any_of(first, is_right) ? 1 : 0;
    expected.own_top1 += first[0] == own_label ? 1 : 0;
    expected.own_top5 += std::ranges::count(first, own_label);
    expected.own_among += is_right(own_label) ? 1 : 0;
  }
  EXPECT_EQ(counts.ToNumbers(), expected.ToNumbers());
  EXPECT_EQ(counts.samples, 45);
  EXPECT_EQ(counts.left_out, 15);
}

TEST(OtherLabels, AnySplitInAnyOrderGivesTheSame) {
  const OtherLabels labels = MakeLabels();
  const at::Tensor logits = at::randn({kSamples, kClasses});
  const at::Tensor own = at::randint(kClasses, {kSamples}, at::kLong);
  OtherLabelCounts whole;
  whole.Add(labels, Ids(0, kSamples), logits, own);
  for (const std::int64_t batch : {1, 7, 59}) {
    OtherLabelCounts merged;
    for (std::int64_t end = kSamples; end > 0; end -= batch) {
      const std::int64_t begin = std::max<std::int64_t>(0, end - batch);
      OtherLabelCounts part;
      part.Add(labels, Ids(begin, end), logits.slice(0, begin, end), own.slice(0, begin, end));
      merged.MergeNumbers(part.ToNumbers());
    }
    EXPECT_EQ(merged, whole) << batch;
  }
}

TEST(OtherLabels, NoAnswerIsWrongAndAmongEqualsTheSmallerClassComesFirst) {
  at::Tensor logits = at::zeros({3, kClasses});
  logits[1][4] = std::numeric_limits<float>::quiet_NaN();
  OtherLabelCounts counts;
  counts.Add({{4, 0}, {0}, {5}}, Ids(0, 3), logits, at::tensor({1, 0, 4}, at::kLong));
  EXPECT_EQ(counts.samples, 3);
  EXPECT_EQ(counts.top1, 1);  // 0 of the first sample
  EXPECT_EQ(counts.top5, 1);
  EXPECT_EQ(counts.own_top1, 0);
  EXPECT_EQ(counts.own_top5, 2);
  EXPECT_EQ(counts.own_among, 1);
}

}  // namespace
}  // namespace millrace::model
