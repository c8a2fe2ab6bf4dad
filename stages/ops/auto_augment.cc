#include "stages/ops/auto_augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "stages/ops/affine_setting.h"
#include "stages/ops/auto_op.h"

namespace millrace::stages {

namespace {

// One operation of a policy: what, how often, and how much [tenths of the most].
struct Step {
  AutoOp op;
  double probability;
  std::size_t bin;
};

using Policy = std::array<std::array<Step, 2>, 25>;

constexpr Policy kImageNet = {{
    {{{AutoOp::kPosterize, 0.4, 8}, {AutoOp::kRotate, 0.6, 9}}},
    {{{AutoOp::kSolarize, 0.6, 5}, {AutoOp::kAutoContrast, 0.6, 0}}},
    {{{AutoOp::kEqualize, 0.8, 0}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kPosterize, 0.6, 7}, {AutoOp::kPosterize, 0.6, 6}}},
    {{{AutoOp::kEqualize, 0.4, 0}, {AutoOp::kSolarize, 0.2, 4}}},
    {{{AutoOp::kEqualize, 0.4, 0}, {AutoOp::kRotate, 0.8, 8}}},
    {{{AutoOp::kSolarize, 0.6, 3}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kPosterize, 0.8, 5}, {AutoOp::kEqualize, 1.0, 0}}},
    {{{AutoOp::kRotate, 0.2, 3}, {AutoOp::kSolarize, 0.6, 8}}},
    {{{AutoOp::kEqualize, 0.6, 0}, {AutoOp::kPosterize, 0.4, 6}}},
    {{{AutoOp::kRotate, 0.8, 8}, {AutoOp::kColor, 0.4, 0}}},
    {{{AutoOp::kRotate, 0.4, 9}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kEqualize, 0.0, 0}, {AutoOp::kEqualize, 0.8, 0}}},
    {{{AutoOp::kInvert, 0.6, 0}, {AutoOp::kEqualize, 1.0, 0}}},
    {{{AutoOp::kColor, 0.6, 4}, {AutoOp::kContrast, 1.0, 8}}},
    {{{AutoOp::kRotate, 0.8, 8}, {AutoOp::kColor, 1.0, 2}}},
    {{{AutoOp::kColor, 0.8, 8}, {AutoOp::kSolarize, 0.8, 7}}},
    {{{AutoOp::kSharpness, 0.4, 7}, {AutoOp::kInvert, 0.6, 0}}},
    {{{AutoOp::kShearX, 0.6, 5}, {AutoOp::kEqualize, 1.0, 0}}},
    {{{AutoOp::kColor, 0.4, 0}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kEqualize, 0.4, 0}, {AutoOp::kSolarize, 0.2, 4}}},
    {{{AutoOp::kSolarize, 0.6, 5}, {AutoOp::kAutoContrast, 0.6, 0}}},
    {{{AutoOp::kInvert, 0.6, 0}, {AutoOp::kEqualize, 1.0, 0}}},
    {{{AutoOp::kColor, 0.6, 4}, {AutoOp::kContrast, 1.0, 8}}},
    {{{AutoOp::kEqualize, 0.8, 0}, {AutoOp::kEqualize, 0.6, 0}}},
}};

constexpr Policy kCifar10 = {{
    {{{AutoOp::kInvert, 0.1, 0}, {AutoOp::kContrast, 0.2, 6}}},
    {{{AutoOp::kRotate, 0.7, 2}, {AutoOp::kTranslateX, 0.3, 9}}},
    {{{AutoOp::kSharpness, 0.8, 1}, {AutoOp::kSharpness, 0.9, 3}}},
    {{{AutoOp::kShearY, 0.5, 8}, {AutoOp::kTranslateY, 0.7, 9}}},
    {{{AutoOp::kAutoContrast, 0.5, 0}, {AutoOp::kEqualize, 0.9, 0}}},
    {{{AutoOp::kShearY, 0.2, 7}, {AutoOp::kPosterize, 0.3, 7}}},
    {{{AutoOp::kColor, 0.4, 3}, {AutoOp::kBrightness, 0.6, 7}}},
    {{{AutoOp::kSharpness, 0.3, 9}, {AutoOp::kBrightness, 0.7, 9}}},
    {{{AutoOp::kEqualize, 0.6, 0}, {AutoOp::kEqualize, 0.5, 0}}},
    {{{AutoOp::kContrast, 0.6, 7}, {AutoOp::kSharpness, 0.6, 5}}},
    {{{AutoOp::kColor, 0.7, 7}, {AutoOp::kTranslateX, 0.5, 8}}},
    {{{AutoOp::kEqualize, 0.3, 0}, {AutoOp::kAutoContrast, 0.4, 0}}},
    {{{AutoOp::kTranslateY, 0.4, 3}, {AutoOp::kSharpness, 0.2, 6}}},
    {{{AutoOp::kBrightness, 0.9, 6}, {AutoOp::kColor, 0.2, 8}}},
    {{{AutoOp::kSolarize, 0.5, 2}, {AutoOp::kInvert, 0.0, 0}}},
    {{{AutoOp::kEqualize, 0.2, 0}, {AutoOp::kAutoContrast, 0.6, 0}}},
    {{{AutoOp::kEqualize, 0.2, 0}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kColor, 0.9, 9}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kAutoContrast, 0.8, 0}, {AutoOp::kSolarize, 0.2, 8}}},
    {{{AutoOp::kBrightness, 0.1, 3}, {AutoOp::kColor, 0.7, 0}}},
    {{{AutoOp::kSolarize, 0.4, 5}, {AutoOp::kAutoContrast, 0.9, 0}}},
    {{{AutoOp::kTranslateY, 0.9, 9}, {AutoOp::kTranslateY, 0.7, 9}}},
    {{{AutoOp::kAutoContrast, 0.9, 0}, {AutoOp::kSolarize, 0.8, 3}}},
    {{{AutoOp::kEqualize, 0.8, 0}, {AutoOp::kInvert, 0.1, 0}}},
    {{{AutoOp::kTranslateY, 0.7, 9}, {AutoOp::kAutoContrast, 0.9, 0}}},
}};

constexpr Policy kSvhn = {{
    {{{AutoOp::kShearX, 0.9, 4}, {AutoOp::kInvert, 0.2, 0}}},
    {{{AutoOp::kShearY, 0.9, 8}, {AutoOp::kInvert, 0.7, 0}}},
    {{{AutoOp::kEqualize, 0.6, 0}, {AutoOp::kSolarize, 0.6, 6}}},
    {{{AutoOp::kInvert, 0.9, 0}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kEqualize, 0.6, 0}, {AutoOp::kRotate, 0.9, 3}}},
    {{{AutoOp::kShearX, 0.9, 4}, {AutoOp::kAutoContrast, 0.8, 0}}},
    {{{AutoOp::kShearY, 0.9, 8}, {AutoOp::kInvert, 0.4, 0}}},
    {{{AutoOp::kShearY, 0.9, 5}, {AutoOp::kSolarize, 0.2, 6}}},
    {{{AutoOp::kInvert, 0.9, 0}, {AutoOp::kAutoContrast, 0.8, 0}}},
    {{{AutoOp::kEqualize, 0.6, 0}, {AutoOp::kRotate, 0.9, 3}}},
    {{{AutoOp::kShearX, 0.9, 4}, {AutoOp::kSolarize, 0.3, 3}}},
    {{{AutoOp::kShearY, 0.8, 8}, {AutoOp::kInvert, 0.7, 0}}},
    {{{AutoOp::kEqualize, 0.9, 0}, {AutoOp::kTranslateY, 0.6, 6}}},
    {{{AutoOp::kInvert, 0.9, 0}, {AutoOp::kEqualize, 0.6, 0}}},
    {{{AutoOp::kContrast, 0.3, 3}, {AutoOp::kRotate, 0.8, 4}}},
    {{{AutoOp::kInvert, 0.8, 0}, {AutoOp::kTranslateY, 0.0, 2}}},
    {{{AutoOp::kShearY, 0.7, 6}, {AutoOp::kSolarize, 0.4, 8}}},
    {{{AutoOp::kInvert, 0.6, 0}, {AutoOp::kRotate, 0.8, 4}}},
    {{{AutoOp::kShearY, 0.3, 7}, {AutoOp::kTranslateX, 0.9, 3}}},
    {{{AutoOp::kShearX, 0.1, 6}, {AutoOp::kInvert, 0.6, 0}}},
    {{{AutoOp::kSolarize, 0.7, 2}, {AutoOp::kTranslateY, 0.6, 7}}},
    {{{AutoOp::kShearY, 0.8, 4}, {AutoOp::kInvert, 0.8, 0}}},
    {{{AutoOp::kShearX, 0.7, 9}, {AutoOp::kTranslateY, 0.8, 3}}},
    {{{AutoOp::kShearY, 0.8, 5}, {AutoOp::kAutoContrast, 0.7, 0}}},
    {{{AutoOp::kShearX, 0.7, 2}, {AutoOp::kInvert, 0.1, 0}}},
}};

std::uint32_t Count(const auto& list) { return static_cast<std::uint32_t>(list.size()); }

// How far operations go at most.
struct Strengths {
  double shear;
  double translate_x;  // [pixels]
  double translate_y;
  double degrees;
  double factor;
  int most_bits;
  int fewer_bits;
};

constexpr Strengths StrengthsFor(Size size) {
  return {0.3, 150.0 / 331.0 * size.width, 150.0 / 331.0 * size.height, 30, 0.9, 8, 4};
}

// In the order of AutoOp, from kIdentity to kEqualize.
std::vector<Magnitudes> MakeMagnitudes(const Strengths& most, int bins) {
  const auto up_to = [&](AutoOp op, double high) {
    return Magnitudes{op, Linspace(0, high, bins), true};
  };
  return {
      {AutoOp::kIdentity, {}},
      up_to(AutoOp::kShearX, most.shear),
      up_to(AutoOp::kShearY, most.shear),
      up_to(AutoOp::kTranslateX, most.translate_x),
      up_to(AutoOp::kTranslateY, most.translate_y),
      up_to(AutoOp::kRotate, most.degrees),
      up_to(AutoOp::kBrightness, most.factor),
      up_to(AutoOp::kColor, most.factor),
      up_to(AutoOp::kContrast, most.factor),
      up_to(AutoOp::kSharpness, most.factor),
      {AutoOp::kPosterize, PosterizeBits(most.most_bits, most.fewer_bits, bins)},
      {AutoOp::kSolarize, Linspace(255, 0, bins)},
      {AutoOp::kAutoContrast, {}},
      {AutoOp::kEqualize, {}},
  };
}

class RandAugment : public PixelOp {
 public:
  RandAugment(int num_ops, std::size_t bin, std::vector<Magnitudes> ops, const Surround& surround)
      : num_ops_(num_ops), bin_(bin), ops_(std::move(ops)), surround_(surround) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    for (int i = 0; i < num_ops_; ++i) {
      const Magnitudes& chosen = ops_[random.Below(Count(ops_))];
      ApplyAutoOp(chosen.op, chosen.At(bin_, &random), surround_, scratch, pixels);
    }
  }

 private:
  int num_ops_;
  std::size_t bin_;
  std::vector<Magnitudes> ops_;
  Surround surround_;
};

// A random operation with random strength, below `num_bins` of its bins.
void ApplyAnyOp(const std::vector<Magnitudes>& ops, std::uint32_t num_bins,
                const Surround& surround, RandomStream* random, PixelScratch* scratch,
                Pixels pixels) {
  const Magnitudes& chosen = ops[random->Below(Count(ops))];
  const std::size_t bin = chosen.values.empty() ? 0 : random->Below(num_bins);
  ApplyAutoOp(chosen.op, chosen.At(bin, random), surround, scratch, pixels);
}

class TrivialAugmentWide : public PixelOp {
 public:
  TrivialAugmentWide(int bins, const Surround& surround)
      : bins_(static_cast<std::uint32_t>(bins)),
        ops_(MakeMagnitudes({0.99, 32, 32, 135, 0.99, 8, 6}, bins)),
        surround_(surround) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    ApplyAnyOp(ops_, bins_, surround_, &random, scratch, pixels);
  }

 private:
  std::uint32_t bins_;
  std::vector<Magnitudes> ops_;
  Surround surround_;
};

class AutoAugment : public PixelOp {
 public:
  AutoAugment(const Policy& policy, Size size, const Surround& surround)
      : policy_(policy), ops_(MakeMagnitudes(StrengthsFor(size), 10)), surround_(surround) {
    ops_.push_back({AutoOp::kInvert, {}});
  }

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    const std::array<Step, 2>& steps = policy_[random.Below(Count(policy_))];
    std::array<double, 2> chances;
    std::array<bool, 2> positive;
    for (double& chance : chances) chance = random.Uniform();
    for (bool& sign : positive) sign = random.Below(2) == 1;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (chances[i] > steps[i].probability) continue;
      const Magnitudes& chosen = ops_[static_cast<std::size_t>(steps[i].op)];
      const double magnitude = chosen.values.empty() ? 0 : chosen.values[steps[i].bin];
      ApplyAutoOp(chosen.op, chosen.is_signed && !positive[i] ? -magnitude : magnitude, surround_,
                  scratch, pixels);
    }
  }

 private:
  const Policy& policy_;
  std::vector<Magnitudes> ops_;
  Surround surround_;
};

// Shares that sum to 1, all such equally likely: Dirichlet's distribution with parameters 1.
template <std::size_t Most>
void DrawShares(std::size_t count, RandomStream* random, std::array<double, Most>* shares) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    (*shares)[i] = -std::log(1.0 - random->Uniform());
    sum += (*shares)[i];
  }
  for (std::size_t i = 0; i < count; ++i) (*shares)[i] /= sum;
}

constexpr std::size_t kMostChains = 16;

class AugMix : public PixelOp {
 public:
  AugMix(int severity, std::size_t width, int depth, std::vector<Magnitudes> ops,
         const Surround& surround)
      : severity_(static_cast<std::uint32_t>(severity)),
        width_(width),
        depth_(depth),
        ops_(std::move(ops)),
        surround_(surround) {}

  void Apply(RandomStream random, PixelScratch* scratch, Pixels pixels) const override {
    std::array<double, 2> own;
    DrawShares(own.size(), &random, &own);
    std::array<double, kMostChains> shares;
    DrawShares(width_, &random, &shares);
    const std::size_t count = pixels.bytes();
    scratch->kept.assign(pixels.data, pixels.data + count);
    scratch->mixed.assign(count, 0);
    float* const mixed = scratch->mixed.data();
    Add(static_cast<float>(own[0]), pixels.data, count, mixed);
    for (std::size_t chain = 0; chain < width_; ++chain) {
      if (chain > 0) std::memcpy(pixels.data, scratch->kept.data(), count);
      const int depth = depth_ > 0 ? depth_ : 1 + static_cast<int>(random.Below(3));
      for (int i = 0; i < depth; ++i) {
        ApplyAnyOp(ops_, severity_, surround_, &random, scratch, pixels);
      }
      Add(static_cast<float>(shares[chain] * own[1]), pixels.data, count, mixed);
    }
    // A sum of shares may be rounded to a little more than 1.
    for (std::size_t i = 0; i < count; ++i) {
      pixels.data[i] = static_cast<std::uint8_t>(std::min(mixed[i], 255.0f));
    }
  }

 private:
  static void Add(float share, const std::uint8_t* values, std::size_t count, float* mixed) {
    for (std::size_t i = 0; i < count; ++i) mixed[i] += share * static_cast<float>(values[i]);
  }

  std::uint32_t severity_;
  std::size_t width_;
  int depth_;
  std::vector<Magnitudes> ops_;
  Surround surround_;
};

int ReadBins(const Params& params) {
  return static_cast<int>(params.IntegerIn("num_magnitude_bins", 2, 1000, 31));
}

}  // namespace

std::unique_ptr<PixelOp> MakeRandAugment(const Params& params, Size size) {
  const int bins = ReadBins(params);
  return std::make_unique<RandAugment>(
      static_cast<int>(params.IntegerIn("num_ops", 1, 100, 2)),
      static_cast<std::size_t>(
          params.IntegerIn("magnitude", 0, bins - 1, std::min<std::int64_t>(9, bins - 1))),
      MakeMagnitudes(StrengthsFor(size), bins), ReadSurround(params));
}

std::unique_ptr<PixelOp> MakeTrivialAugmentWide(const Params& params, Size) {
  return std::make_unique<TrivialAugmentWide>(ReadBins(params), ReadSurround(params));
}

std::unique_ptr<PixelOp> MakeAutoAugment(const Params& params, Size size) {
  const std::string name = params.Choice("policy", {"imagenet", "cifar10", "svhn"}, "imagenet");
  const Policy& policy = name == "imagenet" ? kImageNet : name == "cifar10" ? kCifar10 : kSvhn;
  return std::make_unique<AutoAugment>(policy, size, ReadSurround(params));
}

std::unique_ptr<PixelOp> MakeAugMix(const Params& params, Size size) {
  constexpr int kBins = 10;
  std::vector<Magnitudes> ops =
      MakeMagnitudes({0.3, size.width / 3.0, size.height / 3.0, 30, 0.9, 4, 4}, kBins);
  const bool all = params.Flag("all_ops", true);
  std::erase_if(ops, [&](const Magnitudes& each) {
    const bool enhances = AutoOp::kBrightness <= each.op && each.op <= AutoOp::kSharpness;
    return each.op == AutoOp::kIdentity || (enhances && !all);
  });
  // torchvision's table has what only `all_ops` brings at its end.
  std::stable_partition(ops.begin(), ops.end(), [](const Magnitudes& each) {
    return each.op < AutoOp::kBrightness || each.op > AutoOp::kSharpness;
  });
  const auto depth = static_cast<int>(params.IntegerIn("chain_depth", -1, 16, -1));
  if (depth == 0) params.Blame("chain_depth", "must be at least 1, or -1 for 1 to 3 at random");
  return std::make_unique<AugMix>(
      static_cast<int>(params.IntegerIn("severity", 1, kBins, 3)),
      static_cast<std::size_t>(params.IntegerIn("mixture_width", 1, kMostChains, 3)), depth,
      std::move(ops), ReadSurround(params, Interpolation::kBilinear));
}

}  // namespace millrace::stages
