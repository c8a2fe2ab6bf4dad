#include "model/precision.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace millrace::model {
namespace {

TEST(Precision, IsReadFromTheRecipe) {
  const auto read = [](const char* json) {
    return ReadPrecision(Params::FromJson(json, "recipe.toml: precision"));
  };
  EXPECT_EQ(read("{}").amp, Amp::kOff);
  EXPECT_FALSE(read("{}").tf32);
  EXPECT_EQ(read(R"({"amp": "bf16"})").image_type(), at::kBFloat16);
  EXPECT_EQ(read(R"({"amp": "fp16"})").image_type(), at::kHalf);
  EXPECT_EQ(read(R"({"tf32": true})").image_type(), at::kFloat);
  EXPECT_STREQ(read(R"({"tf32": true})").Text(), "float32 with TF32");
  try {
    read(R"({"amp": "fp8"})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
  }
}

TEST(Autocast, ConvolvesInItsTypeWhileItLives) {
  const at::Tensor images = at::randn({2, 3, 8, 8});
  const at::Tensor weight = at::randn({4, 3, 3, 3}).set_requires_grad(true);
  const at::Tensor full = at::conv2d(images, weight);
  for (const Amp amp : {Amp::kBf16, Amp::kFp16}) {
    const at::ScalarType type = Precision{.amp = amp}.image_type();
    at::Tensor half;
    {
      const Autocast autocast(amp, at::kCPU);
      half = at::conv2d(images, weight);
    }
    EXPECT_EQ(half.scalar_type(), type);
    EXPECT_TRUE(at::allclose(half.to(at::kFloat), full, 0.05, 0.05));
    EXPECT_FALSE(at::equal(half.to(at::kFloat), full));
    // Gradients come in the weight's own type.
    weight.mutable_grad().reset();
    half.to(at::kFloat).sum().backward();
    EXPECT_EQ(weight.grad().scalar_type(), at::kFloat);
    EXPECT_EQ(at::conv2d(images, weight).scalar_type(), at::kFloat) << "it goes on after its end";
  }
}

// A weight that has changed must be converted again in the next step.
TEST(Autocast, CopiesOfWeightsEndWithIt) {
  const at::Tensor images = at::ones({1, 1, 4, 4});
  const at::Tensor weight = at::ones({1, 1, 1, 1}).set_requires_grad(true);
  const auto forward = [&] {
    const Autocast autocast(Amp::kBf16, at::kCPU);
    return at::conv2d(images, weight).sum().item<double>();
  };
  EXPECT_EQ(forward(), 16);
  weight.detach().fill_(2);
  EXPECT_EQ(forward(), 32);
}

TEST(Autocast, OffChangesNothing) {
  const Autocast autocast(Amp::kOff, at::kCPU);
  EXPECT_EQ(at::conv2d(at::ones({1, 1, 4, 4}), at::ones({1, 1, 1, 1})).scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace millrace::model
