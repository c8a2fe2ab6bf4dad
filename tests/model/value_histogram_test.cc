#include "model/value_histogram.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

namespace millrace::model {
namespace {

using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What the definition says, value by value.
void ExpectCountsOf(const at::Tensor& values, const ValueHistogram& histogram) {
  ASSERT_EQ(histogram.limits.size(), histogram.counts.size());
  std::vector<double> counted(histogram.limits.size(), 0);
  const at::Tensor list = values.to(at::kDouble).reshape({-1}).contiguous();
  for (std::int64_t i = 0; i < list.numel(); ++i) {
    const double value = list.const_data_ptr<double>()[i];
    const auto at = std::lower_bound(histogram.limits.begin(), histogram.limits.end(), value);
    ASSERT_NE(at, histogram.limits.end()) << value;
    ++counted[static_cast<std::size_t>(at - histogram.limits.begin())];
  }
  EXPECT_EQ(histogram.counts, counted);
  EXPECT_TRUE(std::is_sorted(histogram.limits.begin(), histogram.limits.end()));
  EXPECT_GT(histogram.counts.front(), 0);
  EXPECT_GT(histogram.counts.back(), 0);
  EXPECT_EQ(histogram.min, list.min().item<double>());
  EXPECT_EQ(histogram.max, list.max().item<double>());
  EXPECT_NEAR(histogram.sum, list.sum().item<double>(), 1e-9 * list.abs().sum().item<double>());
  EXPECT_NEAR(histogram.sum_of_squares, list.square().sum().item<double>(),
              1e-9 * histogram.sum_of_squares);
}

TEST(ValueHistogram, EveryValueIsInTheBucketOfItsLimits) {
  for (const double scale : {1e-6, 1.0, 1e6}) {
    const at::Tensor values = at::randn({16, 3, 7, 7}) * scale;
    const auto histogram = CountValues(values);
    ASSERT_TRUE(histogram);
    ExpectCountsOf(values, *histogram);
    EXPECT_GT(histogram->counts.size(), 30u);
    EXPECT_LT(histogram->counts.size(), 300u);
  }
}

TEST(ValueHistogram, ValuesOnTheLimitsBelongBelowThem) {
  // Limits are 2^k times 1, 1.25, 1.5 and 1.75.
  const at::Tensor values = at::tensor({-2.0f, -1.25f, -1.0f, 0.0f, 1.0f, 1.25f, 1.5f, 2.0f});
  const auto histogram = CountValues(values);
  ASSERT_TRUE(histogram);
  ExpectCountsOf(values, *histogram);
  EXPECT_THAT(histogram->limits,
              ElementsAre(-2, -1.5, -1.25, -1, -std::numeric_limits<float>::denorm_min() * 0x1p21,
                          0, 0.875, 1, 1.25, 1.5, 1.75, 2));
}

TEST(ValueHistogram, ZerosOfBothSignsAndDenormalsAreCounted) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const at::Tensor values = at::tensor({0.0f, -0.0f, tiny, -tiny, 0.0f});
  const auto histogram = CountValues(values);
  ASSERT_TRUE(histogram);
  EXPECT_EQ(std::accumulate(histogram->counts.begin(), histogram->counts.end(), 0.0), 5);
  EXPECT_EQ(histogram->limits.front(), 0);
  EXPECT_THAT(histogram->counts, ElementsAre(4, 1));
}

TEST(ValueHistogram, LargestFloatsAreCounted) {
  const float most = std::numeric_limits<float>::max();
  const auto histogram = CountValues(at::tensor({most, -most, 1.0f}));
  ASSERT_TRUE(histogram);
  EXPECT_EQ(std::accumulate(histogram->counts.begin(), histogram->counts.end(), 0.0), 3);
  EXPECT_EQ(histogram->min, -most);
  EXPECT_EQ(histogram->max, most);
}

TEST(ValueHistogram, ValuesApartInMemoryAreCountedAsThoseInOnePiece) {
  // What does not lie in one piece goes the way of tensors on GPUs.
  const at::Tensor apart = at::randn({63, 202}).slice(/*dim=*/1, 0, 202, /*step=*/2);
  ASSERT_FALSE(apart.is_non_overlapping_and_dense());
  const auto expected = CountValues(apart);
  const auto histogram = CountValues(apart.contiguous());
  ASSERT_TRUE(expected && histogram);
  EXPECT_EQ(histogram->limits, expected->limits);
  EXPECT_EQ(histogram->counts, expected->counts);
  EXPECT_EQ(histogram->min, expected->min);
  EXPECT_EQ(histogram->max, expected->max);
  EXPECT_NEAR(histogram->sum, expected->sum, 1e-9 * 63 * 101);
  EXPECT_NEAR(histogram->sum_of_squares, expected->sum_of_squares, 1e-9 * expected->sum_of_squares);
}

TEST(ValueHistogram, ConstantTensorHasOneBucket) {
  const auto zeros = CountValues(at::zeros({10}));
  ASSERT_TRUE(zeros);
  EXPECT_THAT(zeros->limits, ElementsAre(0));
  EXPECT_THAT(zeros->counts, ElementsAre(10));
  const auto ones = CountValues(at::ones({10}));
  ASSERT_TRUE(ones);
  EXPECT_THAT(ones->limits, ElementsAre(1));
  EXPECT_THAT(ones->counts, ElementsAre(10));
}

TEST(ValueHistogram, NothingOfNothingAndOfWhatIsNotFinite) {
  EXPECT_FALSE(CountValues(at::empty({0})));
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (std::int64_t place = 0; place < 20; ++place) {
      at::Tensor values = at::arange(20, at::kFloat);
      values[place] = bad;
      EXPECT_FALSE(CountValues(values)) << bad << " at " << place;
    }
  }
}

TEST(ValueHistogram, LayoutOfTheTensorDoesNotMatter) {
  const at::Tensor values = at::randn({8, 4, 3, 3});
  const auto plain = CountValues(values);
  const auto last = CountValues(values.contiguous(at::MemoryFormat::ChannelsLast));
  ASSERT_TRUE(plain && last);
  EXPECT_EQ(plain->limits, last->limits);
  EXPECT_EQ(plain->counts, last->counts);
}

}  // namespace
}  // namespace millrace::model
