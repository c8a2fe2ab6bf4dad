#include "model/metric.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/exact_sum.h"
#include "model/metric_sums.h"

namespace millrace::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Metrics Make(const std::string& entries, std::int64_t classes,
             const Components& known = BuiltInComponents()) {
  const Params section = Params::FromJson(R"({"metrics": [)" + entries + "]}", "evaluation");
  Metrics metrics = MakeMetrics(section, classes, known);
  section.RefuseUnknown();
  return metrics;
}

double ValueOf(const std::string& entry, const at::Tensor& logits, const at::Tensor& labels) {
  const Metrics metrics = Make(entry, logits.size(1));
  MetricSums sums(metrics);
  sums.Add(logits, labels);
  return sums.Values().at(0).second;
}

std::string Refusal(const std::string& entries, const Components& known = BuiltInComponents()) {
  try {
    Make(entries, 3, known);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Three samples of class 0, one of class 1, none of class 2; answers 0, 0, 2, 1.
const at::Tensor kLabels = at::tensor({0, 0, 0, 1}, at::kLong);
at::Tensor Logits() {
  return at::tensor({2, 0, 0, 2, 0, 0, 0, 0, 2, 0, 2, 0}).to(at::kFloat).view({4, 3});
}

TEST(Metric, ClassesCountAlikeHoweverManySamplesTheyHave) {
  EXPECT_DOUBLE_EQ(ValueOf(R"({"metric": "mean_class_accuracy"})", Logits(), kLabels),
                   (2.0 / 3 + 1) / 2);
  // Class 2 has no samples, but an answer.
  EXPECT_DOUBLE_EQ(ValueOf(R"({"metric": "macro_f1"})", Logits(), kLabels), (4.0 / 5 + 1 + 0) / 3);
}

TEST(Metric, BrierScoreIsZeroForCertaintyAndTwoForCertainError) {
  const at::Tensor sure = at::tensor({100, 0, 100, 0}).to(at::kFloat).view({2, 2});
  EXPECT_NEAR(ValueOf(R"({"metric": "brier_score"})", sure, at::tensor({0, 0}, at::kLong)), 0,
              1e-9);
  EXPECT_NEAR(ValueOf(R"({"metric": "brier_score"})", sure, at::tensor({1, 1}, at::kLong)), 2,
              1e-9);
}

TEST(Metric, CalibrationErrorIsConfidenceBeyondAccuracy) {
  // Two answers with probability 0.75 each, one of them right.
  const at::Tensor logits = at::tensor({std::log(3.0f), 0.0f, std::log(3.0f), 0.0f}).view({2, 2});
  EXPECT_NEAR(ValueOf(R"({"metric": "calibration_error"})", logits, at::tensor({0, 1}, at::kLong)),
              0.25, 1e-6);
}

TEST(Metric, SampleWithNanIsWrongAndMakesProbabilitiesNan) {
  const at::Tensor logits = at::tensor({1.0f, 0.0f, kNan, 0.0f}).view({2, 2});
  const at::Tensor labels = at::tensor({0, 0}, at::kLong);
  EXPECT_EQ(ValueOf(R"({"metric": "mean_class_accuracy"})", logits, labels), 0.5);
  EXPECT_TRUE(std::isnan(ValueOf(R"({"metric": "brier_score"})", logits, labels)));
  EXPECT_TRUE(std::isnan(ValueOf(R"({"metric": "calibration_error"})", logits, labels)));
}

TEST(Metric, EqualScoresAreAnsweredByTheSmallestClass) {
  const at::Tensor logits = at::zeros({2, 2});
  const at::Tensor labels = at::tensor({0, 1}, at::kLong);
  EXPECT_EQ(ValueOf(R"({"metric": "mean_class_accuracy"})", logits, labels), 0.5);
}

TEST(Metric, NameIsTheKindUnlessGiven) {
  const Metrics metrics = Make(
      R"({"metric": "macro_f1"}, {"metric": "calibration_error", "bins": 2, "name": "two"})", 3);
  MetricSums sums(metrics);
  sums.Add(Logits(), kLabels);
  EXPECT_THAT(sums.Values(), ElementsAre(Pair("macro_f1", testing::_), Pair("two", testing::_)));
}

TEST(ExactSum, OrderOfTermsDoesNotMatter) {
  const std::vector<double> terms = {1e6, 1.0 / 3, -1e6, 2e-10, 0.1, -1.0 / 3};
  ExactSum forth, back;
  for (const double term : terms) forth.Add(term);
  for (auto term = terms.rbegin(); term != terms.rend(); ++term) back.Add(*term);
  EXPECT_EQ(forth, back);
  EXPECT_NEAR(forth.Value(), 0.1, 1e-9);
}

TEST(ExactSum, WhatCannotBeAddedMakesItNan) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 2e6}) {
    ExactSum sum;
    sum.Add(1);
    sum.Add(bad);
    EXPECT_TRUE(std::isnan(sum.Value())) << bad;
  }
  ExactSum large;
  for (int i = 0; i < 2048; ++i) large.Add(0x1p20);
  EXPECT_TRUE(std::isnan(large.Value()));
}

TEST(Metric, WithoutSamplesIsNan) {
  const Metrics metrics = Make(R"({"metric": "brier_score"})", 3);
  EXPECT_TRUE(std::isnan(MetricSums(metrics).Values().at(0).second));
}

TEST(Metric, WrongSettingsAreNamed) {
  EXPECT_THAT(Refusal(R"({"metric": "macro_f2"})"),
              HasSubstr("metrics[0].metric: is \"macro_f2\""));
  EXPECT_THAT(Refusal(R"({"metric": "calibration_error", "bins": 0})"),
              HasSubstr("metrics[0].bins: is 0"));
  EXPECT_THAT(Refusal(R"({"metric": "brier_score", "bins": 3})"),
              HasSubstr("metrics[0].bins: is not a setting"));
  EXPECT_THAT(Refusal(R"({"metric": "macro_f1"}, {"metric": "macro_f1"})"),
              HasSubstr("metrics[1].name: is \"macro_f1\", which another number of an "
                        "evaluation has"));
  EXPECT_THAT(Refusal(R"({"metric": "macro_f1", "name": "top1"})"),
              HasSubstr("metrics[0].name: is \"top1\", which another"));
  EXPECT_THAT(Refusal(R"({"metric": "macro_f1", "name": "epoch"})"),
              HasSubstr("metrics[0].name: is \"epoch\", which another"));
  EXPECT_THAT(
      Refusal(R"({"metric": "macro_f1", "name": "F1 [%]"})"),
      HasSubstr("metrics[0].name: is \"F1 [%]\"; it must be of letters, digits, _, - and ."));
}

class GivesFloats final : public Metric {
  at::Tensor OfSamples(const at::Tensor& logits, const at::Tensor&) const override {
    return logits.sum(1, /*keepdim=*/true);
  }
};

TEST(Metric, WhatGivesSomethingElseIsNamed) {
  Components known = BuiltInComponents();
  known.metrics.Add(
      "floats", +[](const Params&, std::int64_t) -> std::unique_ptr<Metric> {
        return std::make_unique<GivesFloats>();
      });
  const Metrics metrics = Make(R"({"metric": "floats", "name": "mine"})", 3, known);
  MetricSums sums(metrics);
  EXPECT_THAT([&] { sums.Add(Logits(), kLabels); },
              testing::ThrowsMessage<Error>("the metric \"mine\" must give double [4, 1] for a "
                                            "batch of 4 samples, on the CPU"));
}

}  // namespace
}  // namespace millrace::model
