// What an operation's pixels are, tests/reference/test_augmentation.py checks against Pillow,
// torchvision and OpenCV; here is what holds for all of them, and what settings are refused.
#include "stages/ops/operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "stages/pixels/blend.h"
#include "stages/simd.h"
#include "stages/transform.h"

namespace millrace::stages {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Size kSize{37, 29};

Params Read(const std::string& settings) { return Params::FromJson(settings, "op"); }

std::unique_ptr<PixelOp> Make(const std::string& name, const std::string& settings = "{}",
                              Size size = kSize) {
  const PixelOpMaker* make = BuiltInOperations().pixels.Find(name);
  EXPECT_TRUE(make) << name;
  return (*make)(Read(settings), size);
}

std::string ErrorOf(const std::string& name, const std::string& settings) {
  try {
    Make(name, settings);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  return "no error";
}

// Settings with which an operation always does something, where its defaults do not.
std::string Certain(const std::string& name) {
  if (name == "color_jitter") return R"({"brightness": 0.5, "hue": 0.2, "saturation": 0.7})";
  for (const char* each :
       {"hue_saturation_value", "adjust_sharpness", "grayscale", "invert", "solarize", "posterize",
        "equalize", "autocontrast", "coarse_dropout", "random_erasing"}) {
    if (name == each) return R"({"p": 1.0})";
  }
  return "{}";
}

std::vector<std::uint8_t> Picture(Size size = kSize) {
  std::vector<std::uint8_t> pixels;
  RandomStream random(RandomKey{.seed = 77}, 0);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      for (int channel = 0; channel < kChannels; ++channel) {
        pixels.push_back(static_cast<std::uint8_t>(40 + 2 * x + channel * y +
                                                   static_cast<int>(random.Below(40))));
      }
    }
  }
  return pixels;
}

std::vector<std::uint8_t> Applied(const PixelOp& op, RandomStream random, PixelScratch* scratch,
                                  std::vector<std::uint8_t> pixels, Size size = kSize) {
  op.Apply(random, scratch, {.data = pixels.data(), .size = size});
  return pixels;
}

RandomStream StreamOf(std::uint64_t sample) {
  return {RandomKey{.seed = 5, .epoch = 1, .sample_id = sample}, 3};
}

TEST(PixelOps, AreAPureFunctionOfDrawsAndPixels) {
  for (const std::string& name : BuiltInOperations().pixels.Names()) {
    const auto op = Make(name, Certain(name));
    PixelScratch used;
    // Memory of another operation on another, larger picture.
    Applied(*Make("gaussian_blur", "{}", {64, 64}), StreamOf(0), &used, Picture({64, 64}),
            {64, 64});
    std::set<std::vector<std::uint8_t>> outcomes;
    for (std::uint64_t sample = 0; sample < 20; ++sample) {
      PixelScratch fresh;
      const auto first = Applied(*op, StreamOf(sample), &fresh, Picture());
      EXPECT_EQ(first, Applied(*op, StreamOf(sample), &used, Picture())) << name;
      EXPECT_EQ(first, Applied(*Make(name, Certain(name)), StreamOf(sample), &used, Picture()))
          << name;
      outcomes.insert(first);
    }
    EXPECT_TRUE(outcomes.size() > 1 || *outcomes.begin() != Picture()) << name << " does nothing";
  }
}

TEST(PixelOps, AreTheSameOnEveryInstructionSet) {
  PixelScratch scratch;
  for (const std::string& name : BuiltInOperations().pixels.Names()) {
    const auto op = Make(name, Certain(name));
    for (std::uint64_t sample = 0; sample < 10; ++sample) {
      UseSimdTarget("");
      const auto best = Applied(*op, StreamOf(sample), &scratch, Picture());
      for (const std::string& target : SimdTargets()) {
        UseSimdTarget(target);
        EXPECT_EQ(Applied(*op, StreamOf(sample), &scratch, Picture()), best) << name << target;
      }
    }
  }
  UseSimdTarget("");
}

TEST(PixelOps, WriteNothingOutsideOfThePicture) {
  constexpr std::size_t kAround = 64;
  for (const std::string& name : BuiltInOperations().pixels.Names()) {
    for (const Size size : {kSize, Size{8, 8}, Size{9, 300}}) {
      const auto op = Make(name, Certain(name), size);
      const std::vector<std::uint8_t> picture = Picture(size);
      std::vector<std::uint8_t> memory(picture.size() + 2 * kAround, 171);
      PixelScratch scratch;
      for (std::uint64_t sample = 0; sample < 10; ++sample) {
        std::copy(picture.begin(), picture.end(), memory.begin() + kAround);
        op->Apply(StreamOf(sample), &scratch, {.data = memory.data() + kAround, .size = size});
      }
      EXPECT_EQ(std::count(memory.begin(), memory.begin() + kAround, 171), kAround) << name;
      EXPECT_EQ(std::count(memory.end() - kAround, memory.end(), 171), kAround) << name;
    }
  }
}

TEST(PixelOps, ChangeAsManyPicturesAsTheyAreAskedTo) {
  constexpr int kSamples = 2000;
  const std::vector<std::uint8_t> picture = Picture();
  for (const char* name : {"hue_saturation_value",
                           "brightness",
                           "contrast",
                           "saturation",
                           "hue",
                           "sharpness",
                           "adjust_sharpness",
                           "grayscale",
                           "invert",
                           "solarize",
                           "posterize",
                           "equalize",
                           "autocontrast",
                           "gaussian_blur",
                           "shear_x",
                           "shear_y",
                           "translate_x",
                           "translate_y",
                           "rotate",
                           "coarse_dropout",
                           "random_erasing"}) {
    PixelScratch scratch;
    const auto changed = [&](const std::string& settings) {
      const auto op = Make(name, settings);
      int count = 0;
      for (int sample = 0; sample < kSamples; ++sample) {
        count +=
            Applied(*op, StreamOf(static_cast<std::uint64_t>(sample)), &scratch, picture) != picture
                ? 1
                : 0;
      }
      return count;
    };
    EXPECT_EQ(changed(R"({"p": 0.0})"), 0) << name;
    // Five standard deviations of 0.3, and one picture in twenty on which a change is none.
    EXPECT_NEAR(changed(R"({"p": 0.3})"), 0.3 * kSamples, 103 + 30) << name;
  }
}

TEST(PixelOps, DrawAmountsEvenlyFromTheirRange) {
  // Grey 100 times a factor: what it was multiplied with can be seen.
  const auto op = Make("brightness", R"({"factor": [0.2, 1.8]})", {1, 1});
  PixelScratch scratch;
  std::vector<int> tenths(16);
  constexpr int kSamples = 4000;
  for (std::uint64_t sample = 0; sample < kSamples; ++sample) {
    const auto level = Applied(*op, StreamOf(sample), &scratch, {100, 100, 100}, {1, 1})[0];
    ASSERT_GE(level, 20);
    ASSERT_LT(level, 180);
    ++tenths[static_cast<std::size_t>((level - 20) / 10)];
  }
  for (const int count : tenths) EXPECT_NEAR(count, kSamples / 16, 5 * 16);  // 5 deviations
}

TEST(PixelOps, WrongSettingIsAnErrorThatNamesIt) {
  EXPECT_THAT(ErrorOf("brightness", R"({"factor": [2, 1]})"),
              HasSubstr("factor: must be two ascending numbers from 0 to 1000000"));
  EXPECT_THAT(ErrorOf("hue", R"({"factor": [-0.6, 0.1]})"),
              HasSubstr("factor: must be two ascending numbers from -0.5 to 0.5"));
  EXPECT_THAT(ErrorOf("invert", R"({"p": 1.5})"), HasSubstr("op: p"));
  EXPECT_THAT(ErrorOf("posterize", R"({"bits": 9})"), HasSubstr("bits"));
  EXPECT_THAT(ErrorOf("color_jitter", "{}"),
              HasSubstr("brightness: has no effect, nor have contrast, saturation and hue"));
  EXPECT_THAT(ErrorOf("color_jitter", R"({"hue": 0.7})"), HasSubstr("hue"));
  EXPECT_THAT(ErrorOf("color_jitter", R"({"contrast": [0.5]})"),
              HasSubstr("contrast: must be two ascending numbers"));
  EXPECT_THAT(ErrorOf("coarse_dropout", R"({"max_width": 38})"), HasSubstr("max_width"));
  EXPECT_THAT(ErrorOf("coarse_dropout", R"({"max_holes": 2, "min_holes": 3})"),
              HasSubstr("min_holes"));
  EXPECT_THAT(ErrorOf("coarse_dropout", R"({"fill_value": [1, 2, 256]})"),
              HasSubstr("fill_value: must be a number from 0 to 255, or three of them"));
  EXPECT_THAT(ErrorOf("random_erasing", R"({"value": 300})"), HasSubstr("value"));
  EXPECT_THAT(ErrorOf("rotate", R"({"interpolation": "bicubic"})"),
              AllOf(HasSubstr("interpolation"), HasSubstr("bilinear")));
}

TEST(PixelOps, WrongSettingOfAPolicyIsAnErrorThatNamesIt) {
  EXPECT_THAT(ErrorOf("rand_augment", R"({"magnitude": 31})"),
              HasSubstr("magnitude: is 31; it must be between 0 and 30"));
  EXPECT_THAT(ErrorOf("rand_augment", R"({"num_ops": 0})"), HasSubstr("num_ops"));
  EXPECT_THAT(ErrorOf("trivial_augment_wide", R"({"num_magnitude_bins": 1})"),
              HasSubstr("num_magnitude_bins"));
  EXPECT_THAT(ErrorOf("auto_augment", R"({"policy": "mnist"})"),
              AllOf(HasSubstr("policy"), HasSubstr("cifar10")));
  EXPECT_THAT(ErrorOf("aug_mix", R"({"chain_depth": 0})"),
              HasSubstr("chain_depth: must be at least 1, or -1 for 1 to 3 at random"));
  EXPECT_THAT(ErrorOf("aug_mix", R"({"severity": 11})"), HasSubstr("severity"));
}

TEST(PixelOps, UnknownNameIsNone) { EXPECT_EQ(BuiltInOperations().pixels.Find("blur"), nullptr); }

// A list of operations tells both kinds apart by their names.
TEST(PixelOps, NoNameIsAlsoAnOperationOnGeometry) {
  for (const std::string& name : BuiltInOperations().pixels.Names()) {
    EXPECT_EQ(BuiltInOperations().geometry.Find(name), nullptr) << name;
  }
}

TEST(Blend, IsTheSameOnEveryInstructionSet) {
  std::vector<std::uint8_t> from;
  std::vector<std::uint8_t> to;
  for (int i = 0; i < 256 * 256 + 13; ++i) {
    from.push_back(static_cast<std::uint8_t>(i));
    to.push_back(static_cast<std::uint8_t>(i >> 8));
  }
  for (const float factor : {0.0f, 0.1f, 0.37f, 1.0f, 1.9f, 77.7f}) {
    for (const std::string& target : SimdTargets()) {
      UseSimdTarget(target);
      std::vector<std::uint8_t> values = to;
      Blend(from.data(), factor, values.data(), values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(values[i], BlendValue(from[i], to[i], factor)) << target << " " << factor;
      }
    }
  }
  UseSimdTarget("");
}

}  // namespace
}  // namespace millrace::stages
