#include "pipeline/evaluation_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using test::ErrorOf;
using testing::EndsWith;

EvaluationRecord Example() {
  return {.step = 40,
          .epoch = 2,
          .split = "val",
          .samples = 9,
          .top1 = 5,
          .top5 = 9,
          .unanswered = 1,
          .classes = {{"n01", "tench", 4, 3}, {"n02", "springer \"spaniel\"", 5, 2}},
          .mistakes = {{1, 0, 2}, {0, 1, 1}},
          .hardest = {{.sample = 7,
                       .truth = {1, 0.25},
                       .said = EvaluationRecord::Guess{0, 0.75},
                       .next = EvaluationRecord::Guess{1, 0.25},
                       .loss = 1.5},
                      {.sample = 3,
                       .truth = {0, std::numeric_limits<double>::quiet_NaN()},
                       .said = {},
                       .next = {},
                       .loss = std::numeric_limits<double>::infinity()}},
          .most_confused = {}};
}

class EvaluationRecordTest : public testing::Test {
 protected:
  EvaluationRecord ReadBack(const std::string& text) const {
    test::WriteText(folder_ / "evaluation.json", text);
    return EvaluationRecord::Read(folder_ / "evaluation.json");
  }
  const test::TemporaryFolder folder_;
};

TEST_F(EvaluationRecordTest, ReadBackIsTheSame) {
  const EvaluationRecord record = ReadBack(Example().ToJson());
  EXPECT_EQ(record.ToJson(), Example().ToJson());
  EXPECT_EQ(record.split, "val");
  EXPECT_EQ(record.top5, 9u);
  ASSERT_EQ(record.classes.size(), 2u);
  EXPECT_EQ(record.classes[1].name, "springer \"spaniel\"");
  EXPECT_EQ(record.classes[1].right, 2u);
  ASSERT_EQ(record.mistakes.size(), 2u);
  EXPECT_EQ(record.mistakes[0].count, 2u);
  ASSERT_EQ(record.hardest.size(), 2u);
  EXPECT_EQ(record.hardest[0].said->label, 0u);
  EXPECT_EQ(record.hardest[0].next->probability, 0.25);
}

TEST_F(EvaluationRecordTest, SampleWithoutAnAnswerStaysOne) {
  const EvaluationRecord record = ReadBack(Example().ToJson());
  EXPECT_FALSE(record.hardest[1].said);
  EXPECT_FALSE(record.hardest[1].next);
  EXPECT_TRUE(std::isnan(record.hardest[1].truth.probability));
  EXPECT_TRUE(std::isnan(record.hardest[1].loss)) << "JSON has no infinity";
}

TEST_F(EvaluationRecordTest, DamagedFileIsNamed) {
  const auto error_of = [this](const std::string& text) {
    return ErrorOf([&] { (void)ReadBack(text); });
  };
  std::string other_label = Example().ToJson();
  const std::string label = "\"label\":1";
  other_label.replace(other_label.find(label), label.size(), "\"label\":2");
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{\"step\": 1}"),
                                  Example().ToJson().substr(0, 200), other_label}) {
    EXPECT_THAT(error_of(text), EndsWith("evaluation.json: is damaged: it is none that a run "
                                         "writes"))
        << text;
  }
}

}  // namespace
}  // namespace millrace::pipeline
