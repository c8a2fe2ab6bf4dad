#include "stages/mix.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/error_text.h"

namespace millrace::stages {
namespace {

constexpr Size kPicture{40, 30};

Mixing Make(const std::string& ops, std::uint64_t seed = 3) {
  return Mixing(Params::FromJson("{\"mix\": [" + ops + "]}", "recipe.toml").Sections("mix"), seed);
}

Batch At(std::uint64_t position, std::uint32_t epoch = 0) {
  return {.epoch = epoch, .first_position = position, .size = 8};
}

DeviceBatch Pictures(std::int64_t samples, at::MemoryFormat format) {
  DeviceBatch batch;
  batch.images = at::arange(samples * 3 * kPicture.height * kPicture.width, at::kFloat)
                     .sin()
                     .view({samples, 3, kPicture.height, kPicture.width})
                     .contiguous(format);
  batch.labels = at::arange(samples, at::kLong).remainder(5);
  return batch;
}

TEST(Mixing, BetaHasItsMomentsAndStaysWithinItsLimits) {
  for (const double alpha : {0.01, 0.2, 0.8, 1.0, 1.5, 4.0}) {
    constexpr int kDraws = 40'000;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      // A stream has an end.
      RandomStream of_draw({.seed = 5, .sample_id = static_cast<std::uint64_t>(i)}, 1);
      const double x = SymmetricBeta(alpha, &of_draw);
      ASSERT_GE(x, 0);
      ASSERT_LE(x, 1);
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    // Six deviations of the mean of so many draws, and of their squares, which are within 1/4.
    EXPECT_NEAR(sum / kDraws, 0.5, 6 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(squares / kDraws, variance, 6 * 0.125 / std::sqrt(kDraws)) << alpha;
  }
}

TEST(Mixing, PlanIsAFunctionOfSeedEpochAndPlaceAlone) {
  const Mixing mixing = Make(R"({"op": "mixup", "alpha": 0.2}, {"op": "cutmix"})");
  const Mixing of_seed_3 = Make(R"({"op": "mixup"})", 3);
  const Mixing of_seed_4 = Make(R"({"op": "mixup"})", 4);
  std::set<double> shares;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Mix mix = mixing.Plan(At(8 * i), kPicture);
    Batch same = At(8 * i);
    same.lane = 3;
    same.step = 77;
    same.micro_batch = 1;
    same.sequence = 1000;
    const Mix again = mixing.Plan(same, kPicture);
    EXPECT_EQ(mix.own, again.own);
    EXPECT_EQ(mix.own_label, again.own_label);
    EXPECT_EQ(mix.box, again.box);
    shares.insert(of_seed_3.Plan(At(8 * i), kPicture).own);
    shares.insert(of_seed_3.Plan(At(8 * i, 1), kPicture).own);
    shares.insert(of_seed_4.Plan(At(8 * i), kPicture).own);
  }
  EXPECT_EQ(shares.size(), 300u) << "draws repeat";
}

TEST(Mixing, OperationsAreDrawnAlikeAndTakePlaceWithTheirProbability) {
  const Mixing mixing = Make(R"({"op": "mixup"}, {"op": "cutmix", "p": 0.5})");
  int mixed_up = 0;
  int cut = 0;
  constexpr int kBatches = 4000;
  for (std::uint64_t i = 0; i < kBatches; ++i) {
    const Mix mix = mixing.Plan(At(i), kPicture);
    if (mix.own < 1) {
      ++mixed_up;
      EXPECT_EQ(mix.own, mix.own_label);
      EXPECT_TRUE(mix.box.width == 0 && mix.box.height == 0);
    } else if (mix.box.width > 0 && mix.box.height > 0) {
      ++cut;
    } else {
      EXPECT_EQ(mix.own_label, 1);
    }
  }
  EXPECT_NEAR(mixed_up, kBatches / 2, 200);
  EXPECT_NEAR(cut, kBatches / 4, 200);
}

TEST(Mixing, BoxStaysInThePictureAndItsAreaIsTheOthersShare) {
  const Mixing mixing = Make(R"({"op": "cutmix"})");
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Mix mix = mixing.Plan(At(i), kPicture);
    EXPECT_GE(mix.box.x, 0);
    EXPECT_GE(mix.box.y, 0);
    EXPECT_LE(mix.box.x + mix.box.width, kPicture.width);
    EXPECT_LE(mix.box.y + mix.box.height, kPicture.height);
    EXPECT_NEAR(1 - mix.own_label, mix.box.width * mix.box.height / 1200.0, 1e-12);
  }
}

class MixedLayouts : public ::testing::TestWithParam<at::MemoryFormat> {};

TEST_P(MixedLayouts, PixelsAndLabelsAreThoseOfBothPictures) {
  DeviceBatch batch = Pictures(6, GetParam());
  batch.mix = MixTensor({.own = 0.75, .box = {5, 7, 20, 11}, .own_label = 0.625});
  const at::Tensor mixed = MixedImages(batch);
  EXPECT_TRUE(mixed.is_contiguous(GetParam()));
  const at::Tensor others = batch.images.roll({1}, {0});
  at::Tensor wanted = batch.images * 0.75 + others * 0.25;
  const auto in_box = [](const at::Tensor& images) {
    return images.narrow(2, 7, 11).narrow(3, 5, 20);
  };
  in_box(wanted).copy_(in_box(others));
  EXPECT_TRUE(at::equal(mixed, wanted));
  const at::Tensor targets = MixedTargets(batch, 5);
  const at::Tensor own = at::one_hot(batch.labels, 5);
  EXPECT_TRUE(at::equal(targets, own * 0.625 + own.roll({1}, {0}) * 0.375));
}

INSTANTIATE_TEST_SUITE_P(All, MixedLayouts,
                         ::testing::Values(at::MemoryFormat::Contiguous,
                                           at::MemoryFormat::ChannelsLast));

TEST(Mixing, SixteenBitsStaySixteenBits) {
  DeviceBatch batch = Pictures(4, at::MemoryFormat::ChannelsLast);
  batch.mix = MixTensor({.own = 0.3, .box = {}, .own_label = 0.3});
  const at::Tensor wanted = MixedImages(batch);
  batch.images = batch.images.to(at::kBFloat16);
  const at::Tensor mixed = MixedImages(batch);
  EXPECT_EQ(mixed.scalar_type(), at::kBFloat16);
  // Pixels, the share, both products and the sum are rounded to 8 bits.
  EXPECT_LT((mixed.to(at::kFloat) - wanted).abs().max().item<float>(), 4 * 0x1p-8);
}

TEST(Mixing, BatchOfOneIsMixedWithItself) {
  DeviceBatch batch = Pictures(1, at::MemoryFormat::ChannelsLast);
  batch.mix = MixTensor({.own = 0.25, .box = {0, 0, 9, 9}, .own_label = 0.25});
  EXPECT_TRUE(at::equal(MixedImages(batch), batch.images));
  EXPECT_TRUE(at::equal(MixedTargets(batch, 2), at::tensor({1.0f, 0.0f}).view({1, 2})));
}

TEST(Mixing, WithoutAMixTheBatchItselfIsGiven) {
  const DeviceBatch batch = Pictures(3, at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(MixedImages(batch).is_same(batch.images));
  EXPECT_TRUE(MixedTargets(batch, 5).is_same(batch.labels));
  EXPECT_TRUE(Mixing().empty());
}

TEST(Mixing, WrongSettingsAreNamed) {
  EXPECT_EQ(test::ErrorOf([] { Make(R"({"op": "blend"})"); }),
            "recipe.toml: mix[0].op: is \"blend\"; it must be one of mixup, cutmix");
  EXPECT_EQ(test::ErrorOf([] { Make(R"({"op": "mixup", "alpha": 0})"); }),
            "recipe.toml: mix[0].alpha: must be more than 0");
  EXPECT_EQ(test::ErrorOf([] { Make(R"({"op": "mixup", "p": 1.5})"); }),
            "recipe.toml: mix[0].p: is 1.5; it must be between 0 and 1");
}

}  // namespace
}  // namespace millrace::stages
