// The text of the kernel that normalises, run on the CPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "stages/normalize.h"
#include "tests/stages/gpu/twin.h"

namespace millrace::stages::gpu {
namespace {

// Also from 0: what rounds to the smallest numbers of 16 bits, and to infinity.
constexpr ChannelStatistics kStatistics[] = {
    {{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}},
    {{0.0F, 0.5F, 0.0F}, {1e4F, 3e5F, 1.4e-5F}},
};

std::vector<std::uint8_t> Noise(std::size_t pixels) {
  RandomStream random({.seed = pixels}, 0);
  std::vector<std::uint8_t> noise(pixels * kChannels);
  for (std::size_t i = 0; i < noise.size(); ++i) {
    noise[i] = static_cast<std::uint8_t>(i < 256 * kChannels ? i / kChannels : random.Below(256));
  }
  return noise;
}

template <typename Value>
std::vector<Value> Normalized(std::span<const std::uint8_t> nhwc, const ChannelStatistics& of,
                              Output output, std::size_t plane = 0) {
  std::vector<Value> out(nhwc.size());
  NormalizeWork work{.nhwc = nhwc.data(),
                     .values = nhwc.size(),
                     .plane = plane,
                     .mean = {},
                     .std = {},
                     .output = output,
                     .out = out.data()};
  std::copy(of.mean.begin(), of.mean.end(), work.mean);
  std::copy(of.std.begin(), of.std.end(), work.std);
  NormalizeByTwin(work);
  return out;
}

std::vector<float> Expected(std::span<const std::uint8_t> nhwc, const ChannelStatistics& of) {
  std::vector<float> out(nhwc.size());
  Normalize(Kernels::kScalar, nhwc.data(), nhwc.size() / kChannels, of, Layout::kNhwc, out.data());
  return out;
}

TEST(NormalizeTwin, Float32HasTheBitsOfTheCpu) {
  for (const ChannelStatistics& statistics : kStatistics) {
    for (const std::size_t pixels : {1U, 3U, 4U, 1023U, 4096U, 5001U}) {
      const auto noise = Noise(pixels);
      const auto expected = Expected(noise, statistics);
      const auto found = Normalized<float>(noise, statistics, Output::kFloat32);
      ASSERT_EQ(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)), 0)
          << pixels;
    }
  }
}

// The number that 16 bits stand for, with so many of them for the exponent.
double Number(std::uint16_t bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int least = 2 - (1 << (exponent_bits - 1)) - mantissa_bits;
  const double magnitude = exponent == 0
                               ? std::ldexp(mantissa, least)
                               : std::ldexp(mantissa + (1 << mantissa_bits), least + exponent - 1);
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

// Infinity stands where the number behind the last would.
bool IsNearest(std::uint16_t bits, int exponent_bits, float value) {
  const double distance = std::abs(Number(bits, exponent_bits) - value);
  const double lower = Number(static_cast<std::uint16_t>(bits - 1), exponent_bits) - value;
  const double upper = Number(static_cast<std::uint16_t>(bits + 1), exponent_bits) - value;
  const bool has_lower = (bits & 0x7FFF) != 0;
  const double others = std::min(has_lower ? std::abs(lower) : HUGE_VAL, std::abs(upper));
  const bool is_infinite = bits == 0x7C00 && exponent_bits == 5;
  return std::signbit(value) == (bits >> 15 != 0) &&
         (distance < others || (distance == others && bits % 2 == 0) ||
          (is_infinite && value >= 65520.0F));
}

TEST(NormalizeTwin, PlanesHaveTheBitsOfTheCpu) {
  // Pictures whose planes end within four values that a thread takes, and whole ones.
  for (const std::size_t plane : {1U, 2U, 3U, 5U, 49U, 1024U}) {
    for (const std::size_t pictures : {1U, 2U, 7U}) {
      const auto noise = Noise(plane * pictures);
      std::vector<float> expected(noise.size());
      for (std::size_t i = 0; i < noise.size(); i += plane * kChannels) {
        Normalize(Kernels::kScalar, noise.data() + i, plane, kStatistics[0], Layout::kNchw,
                  expected.data() + i);
      }
      const auto found = Normalized<float>(noise, kStatistics[0], Output::kFloat32, plane);
      ASSERT_EQ(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)), 0)
          << plane << " x " << pictures;
      const auto halves =
          Normalized<std::uint16_t>(noise, kStatistics[0], Output::kBfloat16, plane);
      const auto beside = Normalized<std::uint16_t>(noise, kStatistics[0], Output::kBfloat16);
      for (std::size_t i = 0; i < noise.size(); ++i) {
        const std::size_t picture = i / (plane * kChannels);
        const std::size_t within = i % (plane * kChannels);
        ASSERT_EQ(
            halves[picture * plane * kChannels + within % kChannels * plane + within / kChannels],
            beside[i]);
      }
    }
  }
}

TEST(NormalizeTwin, SixteenBitsAreTheNearest) {
  int infinities = 0;
  int small = 0;
  for (const ChannelStatistics& statistics : kStatistics) {
    for (const std::size_t pixels : {2U, 1023U, 5001U}) {
      const auto noise = Noise(pixels);
      const auto expected = Expected(noise, statistics);
      const auto halves = Normalized<std::uint16_t>(noise, statistics, Output::kFloat16);
      const auto brains = Normalized<std::uint16_t>(noise, statistics, Output::kBfloat16);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_TRUE(IsNearest(halves[i], 5, expected[i])) << expected[i] << ": " << halves[i];
        ASSERT_TRUE(IsNearest(brains[i], 8, expected[i])) << expected[i] << ": " << brains[i];
        infinities += (halves[i] & 0x7FFF) == 0x7C00;
        small += (halves[i] & 0x7C00) == 0;
      }
    }
  }
  EXPECT_GT(infinities, 0);
  EXPECT_GT(small, 0);
}

}  // namespace
}  // namespace millrace::stages::gpu
