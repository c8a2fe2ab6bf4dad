#include "stages/ops/coarse_dropout.h"

#include "stages/ops/colour_setting.h"
#include "stages/ops/range_setting.h"

namespace millrace::stages {

namespace {

// Both ends inclusive.
struct Count {
  int least;
  int most;

  int Draw(RandomStream* random) const {
    return least + static_cast<int>(random->Below(static_cast<std::uint32_t>(most - least + 1)));
  }
};

class CoarseDropout : public PixelOp {
 public:
  CoarseDropout(Count holes, Count height, Count width, Colour fill, double probability)
      : holes_(holes), height_(height), width_(width), fill_(fill), probability_(probability) {}

  void Apply(RandomStream random, PixelScratch*, Pixels pixels) const override {
    if (random.Uniform() >= probability_) return;
    const int holes = holes_.Draw(&random);
    for (int i = 0; i < holes; ++i) {
      Box hole;
      hole.height = height_.Draw(&random);
      hole.width = width_.Draw(&random);
      hole.y = Count{0, pixels.size.height - hole.height}.Draw(&random);
      hole.x = Count{0, pixels.size.width - hole.width}.Draw(&random);
      FillBox(hole, fill_, pixels);
    }
  }

 private:
  Count holes_;
  Count height_;
  Count width_;
  Colour fill_;
  double probability_;
};

Count ReadCount(const Params& params, const char* least_key, const char* most_key, int most) {
  const auto highest = static_cast<int>(params.IntegerIn(most_key, 1, most, 8));
  return {static_cast<int>(params.IntegerIn(least_key, 1, highest, highest)), highest};
}

}  // namespace

std::unique_ptr<PixelOp> MakeCoarseDropout(const Params& params, Size size) {
  constexpr int kMostHoles = 1024;
  const Count holes = ReadCount(params, "min_holes", "max_holes", kMostHoles);
  const Count height = ReadCount(params, "min_height", "max_height", size.height);
  const Count width = ReadCount(params, "min_width", "max_width", size.width);
  return std::make_unique<CoarseDropout>(holes, height, width,
                                         ReadColour(params, "fill_value", {0, 0, 0}),
                                         ReadProbability(params, 0.5));
}

}  // namespace millrace::stages
