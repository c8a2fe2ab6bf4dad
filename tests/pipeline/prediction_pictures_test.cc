#include "pipeline/prediction_pictures.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "tests/pipeline/loader_fixture.h"
#include "tracking/prediction_sheet.h"

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using tracking::Picture;

struct Told {
  std::vector<Picture> pictures;
  std::vector<std::string> lines;
};

class Recorder final : public tracking::Sink {
 public:
  explicit Recorder(Told& told) : told_(told) {}
  void OnPicture(const Picture& picture) override { told_.pictures.push_back(picture); }
  void OnText(const std::string& line) override { told_.lines.push_back(line); }

 private:
  Told& told_;
};

class PredictionPicturesTest : public test::LoaderTest {
 protected:
  void SetUp() override {
    LoaderTest::SetUp();
    log_.Add(std::make_unique<Recorder>(told_));
  }

  // A batch of the evaluation after so many steps.
  static stages::Batch At(std::uint64_t step, stages::Phase phase = stages::Phase::kEvaluate) {
    return {.phase = phase, .epoch = static_cast<std::uint32_t>(step / 10), .step = step};
  }

  // Answers to the nine samples of three classes.
  static model::NotableAnswers Answers(std::uint32_t of_each_kind) {
    model::NotableAnswers answers(of_each_kind, 9);
    std::vector<std::uint64_t> ids(9);
    std::iota(ids.begin(), ids.end(), 0);
    at::manual_seed(3);
    const at::Tensor logits = at::randn({9, 3});
    const at::Tensor labels = at::randint(3, {9}, at::kLong);
    answers.Add(ids, logits, logits.softmax(1), labels,
                at::cross_entropy_loss(logits, labels, {}, at::Reduction::None));
    return answers;
  }

  // What the picture of these answers must be.
  static std::string Expected(LoaderStages& loaders, const std::vector<model::Answer>& answers,
                              const stages::Batch& batch = At(0)) {
    const auto& classes = loaders.val()->manifest().classes;
    const auto guess = [&classes](std::int64_t label, float probability) {
      return tracking::Guess{classes.at(static_cast<std::size_t>(label)).name,
                             static_cast<double>(probability)};
    };
    std::vector<tracking::Prediction> predictions;
    for (const model::Answer& answer : answers) {
      const std::uint64_t sample = loaders.EvaluatedSample(batch.phase, answer.sample);
      predictions.push_back({.sample = sample,
                             .said = guess(answer.first, answer.first_probability),
                             .next = guess(answer.second, answer.second_probability),
                             .truth = guess(answer.label, answer.label_probability),
                             .right = answer.first == answer.label,
                             .loss = static_cast<double>(answer.loss),
                             .pixels = loaders.MakePicture(batch, sample)});
    }
    const stages::Size size = loaders.PictureSize(batch.phase);
    return tracking::DrawPredictions("", 0, static_cast<std::uint32_t>(size.width),
                                     static_cast<std::uint32_t>(size.height), predictions)
        .png;
  }

  Told told_;
  tracking::RunLog log_;
};

TEST_F(PredictionPicturesTest, EachEvaluationHasItsThreePicturesOfItsOwnSamples) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  const model::NotableAnswers answers = Answers(4);
  PredictionPictures pictures(loaders, log_);
  pictures.Show(At(10), answers);
  pictures.Show(At(20), answers);
  pictures.Finish();
  log_.Flush();
  EXPECT_THAT(told_.lines, IsEmpty());
  ASSERT_EQ(told_.pictures.size(), 6u);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"validation: predictions_with_gt", Expected(loaders, answers.chosen())},
      {"validation: hardest", Expected(loaders, answers.hardest())},
      {"validation: most_confused", Expected(loaders, answers.most_confused())}};
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(told_.pictures[i].name, expected[i % 3].first);
    EXPECT_EQ(told_.pictures[i].step, i < 3 ? 10u : 20u);
    EXPECT_TRUE(told_.pictures[i].png == expected[i % 3].second) << told_.pictures[i].name;
  }
}

TEST_F(PredictionPicturesTest, TrainingSamplesThatAreEvaluatedAreShownAsThatEpochMadeThem) {
  LoaderStages loaders(LoadRecipe({"data.train_eval.limit=9"}), dataset_);
  const model::NotableAnswers answers = Answers(4);
  PredictionPictures pictures(loaders, log_);
  for (const std::uint64_t step : {10U, 20U}) {
    pictures.Show(At(step, stages::Phase::kTrainEval), answers);
  }
  pictures.Finish();
  log_.Flush();
  EXPECT_THAT(told_.lines, IsEmpty());
  std::vector<std::string> names;
  for (const Picture& picture : told_.pictures) names.push_back(picture.name);
  EXPECT_THAT(names, ElementsAre("training: predictions_with_gt", "training: hardest",
                                 "training: most_confused", "training: predictions_with_gt",
                                 "training: hardest", "training: most_confused"));
  ASSERT_EQ(told_.pictures.size(), 6u);
  for (const std::size_t i : {0U, 3U}) {
    const Picture& picture = told_.pictures[i];
    EXPECT_TRUE(picture.png ==
                Expected(loaders, answers.chosen(), At(picture.step, stages::Phase::kTrainEval)));
  }
  EXPECT_TRUE(told_.pictures[0].png != told_.pictures[3].png) << "the augmentations are the same";
}

TEST_F(PredictionPicturesTest, SampleWithoutAnAnswerIsShown) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  model::NotableAnswers answers(1, 1);
  const at::Tensor nan = at::full({1, 3}, std::numeric_limits<float>::quiet_NaN());
  answers.Add(std::vector<std::uint64_t>{0}, nan, nan, at::zeros({1}, at::kLong), nan[0]);
  PredictionPictures pictures(loaders, log_);
  pictures.Show(At(1), answers);
  pictures.Finish();
  log_.Flush();
  std::vector<std::string> names;
  for (const Picture& picture : told_.pictures) names.push_back(picture.name);
  EXPECT_THAT(names, ElementsAre("validation: predictions_with_gt", "validation: hardest"))
      << "nothing is confused";
}

TEST_F(PredictionPicturesTest, PictureThatCannotBeMadeIsToldOnceAndEndsNothing) {
  const Recipe recipe = LoadRecipe();
  {
    // The payload of a record, which its hash guards.
    const storage::SplitReader reader(dataset_, "val");
    const std::string payload(reinterpret_cast<const char*>(reader.Read(4)->payload.data()),
                              reader.Read(4)->payload.size());
    const auto shard = dataset_ / reader.split().shards[0].file;
    std::string bytes = ReadFile(shard);
    bytes[bytes.find(payload) + payload.size() / 2] ^= 1;
    test::WriteText(shard, bytes);
  }
  LoaderStages loaders(recipe, dataset_);
  PredictionPictures pictures(loaders, log_);
  for (const std::uint64_t step : {10U, 20U}) pictures.Show(At(step), Answers(9));
  pictures.Finish();
  log_.Flush();
  EXPECT_THAT(told_.pictures, IsEmpty());
  ASSERT_EQ(told_.lines.size(), 1u);
  EXPECT_THAT(told_.lines[0],
              testing::StartsWith("pictures of predictions are left out: sample 4"));
}

TEST_F(PredictionPicturesTest, NobodyWaitsForPicturesThatNobodyWants) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  {
    PredictionPictures pictures(loaders, log_);
    for (std::uint64_t step = 0; step < 1000; ++step) pictures.Show(At(step), Answers(9));
  }
  log_.Flush();
  EXPECT_LT(told_.pictures.size(), 3000u);
}

}  // namespace
}  // namespace millrace::pipeline
