#include "pipeline/synth_picture.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <utility>

#include "base/random.h"
#include "storage/jpeg_encode.h"

namespace millrace::pipeline {
namespace {

using storage::Subsampling;

// Streams of random numbers, so that none of them depends on how many another one draws.
enum Stream : std::uint32_t { kTextureStream, kClassStream, kPictureStream };

// Textures are periodic squares of signed bytes, so that they can be read from any place on.
constexpr int kTile = 256;  // [pixels]
constexpr int kTileMask = kTile - 1;
using Tile = std::array<std::int8_t, kTile * kTile>;

constexpr int kDirections = 8;
constexpr std::array<int, 6> kWaveLengths = {48, 32, 20, 13, 9, 6};  // [pixels]
constexpr std::size_t kTextureCount = kDirections * kWaveLengths.size();

}  // namespace

struct SynthTextures {
  std::vector<Tile> of_classes;
  Tile clouds;
  Tile grain;
};

namespace {

// ---- textures ----

// One wave of whole periods on a tile.
struct Wave {
  int x = 0;  // periods across
  int y = 0;  // periods down
  int phase = 0;
  int weight = 0;
};

// A sum of waves. Sines come from a table of whole numbers, so that no rounding of a library's
// enters.
Tile MakeTile(const std::vector<Wave>& waves) {
  static const std::array<int, kTile> sine = [] {
    std::array<int, kTile> table{};
    for (int i = 0; i < kTile; ++i) {
      table[static_cast<std::size_t>(i)] =
          static_cast<int>(std::lround(1000 * std::sin(2 * std::numbers::pi * i / kTile)));
    }
    return table;
  }();
  std::vector<int> sums(kTile * kTile);
  for (const Wave& wave : waves) {
    for (int y = 0; y < kTile; ++y) {
      int* row = sums.data() + y * kTile;
      for (int x = 0; x < kTile; ++x) {
        row[x] +=
            wave.weight *
            sine[static_cast<std::size_t>((wave.x * x + wave.y * y + wave.phase) & kTileMask)];
      }
    }
  }
  const auto [low, high] = std::minmax_element(sums.begin(), sums.end());
  const int largest = std::max(-*low, *high);
  Tile tile;
  std::transform(sums.begin(), sums.end(), tile.begin(), [&](int sum) {
    return static_cast<std::int8_t>(std::int64_t{sum} * 127 / largest);
  });
  return tile;
}

// Waves that run about in one direction and have about one length.
Tile MakeTexture(int direction, int wave_length, RandomStream* random) {
  constexpr int kWaves = 12;
  std::vector<Wave> waves;
  for (int i = 0; i < kWaves; ++i) {
    // In whole degrees and thousandths, whose sines are far from where rounding could tip over.
    const auto jitter = static_cast<int>(random->Below(31)) - 15;
    const double angle = (direction * 180.0 / kDirections + jitter) * std::numbers::pi / 180;
    const double periods =
        kTile / (wave_length * (800 + static_cast<int>(random->Below(400))) / 1000.0);
    waves.push_back({.x = static_cast<int>(std::lround(periods * std::cos(angle))),
                     .y = static_cast<int>(std::lround(periods * std::sin(angle))),
                     .phase = static_cast<int>(random->Below(kTile)),
                     .weight = 1});
  }
  return MakeTile(waves);
}

// What is soft in pictures: long waves in all directions, the longer the stronger.
Tile MakeClouds(RandomStream* random) {
  std::vector<Wave> waves;
  for (int x = -6; x <= 6; ++x) {
    for (int y = 0; y <= 6; ++y) {
      if (x == 0 && y == 0) continue;
      waves.push_back({.x = x,
                       .y = y,
                       .phase = static_cast<int>(random->Below(kTile)),
                       .weight = 60 / (x * x + y * y) + 1});
    }
  }
  return MakeTile(waves);
}

Tile MakeGrain(RandomStream* random) {
  Tile tile;
  for (auto& value : tile) {
    const std::uint32_t bits = random->Next();
    const int sum =
        static_cast<int>((bits & 63) + (bits >> 6 & 63) + (bits >> 12 & 63) + (bits >> 18 & 63));
    value = static_cast<std::int8_t>(sum - 126);
  }
  return tile;
}

// ---- what a class looks like ----

enum class ShapeKind : std::uint8_t { kEllipse, kBox, kDiamond, kTriangle };

struct Look {
  std::size_t texture = 0;
  int brightness = 0;  // of 255
  int blue = 0;        // chroma, away from gray
  int red = 0;
};

struct ClassTraits {
  Look ground;
  Look shape;
  ShapeKind kind = ShapeKind::kEllipse;
};

int Between(int low, int high, RandomStream* random) {
  return low + static_cast<int>(random->Below(static_cast<std::uint32_t>(high - low + 1)));
}

Look MakeLook(RandomStream* random) {
  return {.texture = random->Below(kTextureCount),
          .brightness = Between(70, 180, random),
          .blue = Between(-40, 40, random),
          .red = Between(-40, 40, random)};
}

ClassTraits TraitsOf(std::uint64_t seed, std::uint32_t label) {
  RandomStream random({.seed = seed, .epoch = 0, .sample_id = label}, kClassStream);
  ClassTraits traits;
  traits.ground = MakeLook(&random);
  traits.shape = MakeLook(&random);
  traits.kind = static_cast<ShapeKind>(random.Below(4));
  return traits;
}

// ---- what is in a picture ----

struct Format {
  int width = 0;
  int height = 0;
  Subsampling subsampling = Subsampling::k420;
  int quality = 0;
};

// Sizes, sampling and quality about as ImageNet's pictures have them.
Format MakeFormat(RandomStream* random) {
  Format format{.width = 500, .height = 375};
  const std::uint32_t size = random->Below(100);
  if (size >= 80) {
    format.width = Between(180, 640, random);
    format.height = Between(150, 560, random);
  } else if (size >= 75) {
    format.height = 500;
  } else if (size >= 55) {
    format.height = 333;
  }
  if (random->Below(100) < 22) std::swap(format.width, format.height);
  const std::uint32_t sampling = random->Below(100);
  format.subsampling = sampling < 2    ? Subsampling::kGray
                       : sampling < 79 ? Subsampling::k444
                                       : Subsampling::k420;
  constexpr std::array kQualities = {75, 85, 92, 96, 96, 96, 96, 96, 96};
  format.quality = kQualities[random->Below(kQualities.size())];
  return format;
}

struct Shape {
  ShapeKind kind = ShapeKind::kEllipse;
  int x = 0;  // of the middle [pixels]
  int y = 0;
  int half_width = 0;
  int half_height = 0;
  int brightness = 0;
  int shading = 0;  // brightness from the middle to the lower end

  // Half of the width that it has so far below its middle; -1: none.
  int HalfWidthAt(int down) const {
    if (std::abs(down) >= half_height) return -1;
    switch (kind) {
      case ShapeKind::kEllipse: {
        // Of whole numbers, whose square root is the same everywhere.
        const double square = half_height * half_height - down * down;
        return static_cast<int>(std::sqrt(square) * half_width / half_height);
      }
      case ShapeKind::kBox:
        return half_width;
      case ShapeKind::kDiamond:
        return half_width * (half_height - std::abs(down)) / half_height;
      case ShapeKind::kTriangle:
        return half_width * (half_height + down) / (2 * half_height);
    }
    return -1;
  }
};

struct Scene {
  int ground_brightness = 0;
  int slope_x = 0;  // brightness from the left side to the right one
  int slope_y = 0;
  int clouds = 0;  // strengths, of 128
  int texture = 0;
  int grain = 0;
  int chroma_grain = 0;
  int blue = 0;  // chroma of the light
  int red = 0;
  int offset_x = 0;  // of the textures [pixels]
  int offset_y = 0;
  std::vector<Shape> shapes;
};

Scene MakeScene(const Format& format, const ClassTraits& traits, RandomStream* random) {
  Scene scene;
  scene.ground_brightness = traits.ground.brightness + Between(-25, 25, random);
  scene.slope_x = Between(-50, 50, random);
  scene.slope_y = Between(-50, 50, random);
  scene.clouds = Between(15, 70, random);
  scene.texture = Between(10, 40, random);
  scene.grain = Between(3, 34, random);
  scene.chroma_grain = scene.grain / 2;
  scene.blue = Between(-12, 12, random);
  scene.red = Between(-12, 12, random);
  scene.offset_x = Between(0, kTileMask, random);
  scene.offset_y = Between(0, kTileMask, random);
  const int side = std::min(format.width, format.height);
  scene.shapes.resize(1 + random->Below(4));
  for (Shape& shape : scene.shapes) {
    shape = {.kind = traits.kind,
             .x = Between(0, format.width, random),
             .y = Between(0, format.height, random),
             .half_width = Between(side / 10, side / 3, random),
             .half_height = Between(side / 10, side / 3, random),
             .brightness = traits.shape.brightness + Between(-25, 25, random),
             .shading = Between(-35, 35, random)};
  }
  return scene;
}

// ---- painting ----

// Adds a run of a tile's row to a row of sums; `strength` is of 128.
void AddTile(const Tile& tile, int x, int y, int strength, std::int16_t* sums, int count) {
  const std::int8_t* row = tile.data() + (y & kTileMask) * kTile;
  const auto factor = static_cast<std::int16_t>(strength);
  while (count > 0) {
    const int begin = x & kTileMask;
    const int run = std::min(count, kTile - begin);
    for (int i = 0; i < run; ++i) {
      const auto product = static_cast<std::int16_t>(row[begin + i] * factor);
      sums[i] = static_cast<std::int16_t>(sums[i] + (product >> 7));
    }
    x += run;
    sums += run;
    count -= run;
  }
}

void Fill(int value, int slope, int length, std::int16_t* sums, int count) {
  const int step = slope * 64 / length;
  for (int i = 0; i < count; ++i) {
    sums[i] = static_cast<std::int16_t>(value + (step * i >> 6));
  }
}

void Store(const std::int16_t* sums, int count, std::uint8_t* samples) {
  for (int i = 0; i < count; ++i) {
    samples[i] = static_cast<std::uint8_t>(std::clamp<std::int16_t>(sums[i], 0, 255));
  }
}

// Paints the planes of one picture, row by row.
class Painter {
 public:
  Painter(const SynthTextures& textures, const ClassTraits& traits, const Scene& scene,
          storage::YccPlanes* planes)
      : textures_(textures), traits_(traits), scene_(scene), planes_(*planes) {}

  void PaintLuminance() {
    storage::YccPlanes::Plane& plane = planes_.planes[0];
    const int count = static_cast<int>(plane.stride);
    const auto height = static_cast<int>(planes_.height);
    sums_.resize(plane.stride);
    for (int y = 0; y < static_cast<int>(plane.rows); ++y) {
      const int light = scene_.slope_y * y / height - (scene_.slope_x + scene_.slope_y) / 2;
      Fill(scene_.ground_brightness + light, scene_.slope_x, static_cast<int>(planes_.width),
           sums_.data(), count);
      AddTile(textures_.clouds, scene_.offset_y, y + scene_.offset_x, scene_.clouds, sums_.data(),
              count);
      AddTile(textures_.of_classes[traits_.ground.texture], scene_.offset_x, y + scene_.offset_y,
              scene_.texture, sums_.data(), count);
      for (const Shape& shape : scene_.shapes) {
        const auto [begin, length] = SpanOf(shape, y, 1, count);
        if (length == 0) continue;
        std::int16_t* sums = sums_.data() + begin;
        Fill(shape.brightness + shape.shading * (y - shape.y) / shape.half_height, 0, 1, sums,
             length);
        AddTile(textures_.of_classes[traits_.shape.texture], begin + scene_.offset_y,
                y + scene_.offset_x, scene_.texture, sums, length);
      }
      AddGrain(y, scene_.grain, count);
      Store(sums_.data(), count, plane.samples.data() + std::size_t{plane.stride} * RowOf(y));
    }
  }

  // Of plane 1 (blue) or 2 (red).
  void PaintChroma(std::size_t which) {
    storage::YccPlanes::Plane& plane = planes_.planes[which];
    const bool is_blue = which == 1;
    const int light = is_blue ? scene_.blue : scene_.red;
    const int ground = 128 + light + (is_blue ? traits_.ground.blue : traits_.ground.red);
    const int of_shape = 128 + light + (is_blue ? traits_.shape.blue : traits_.shape.red);
    const int count = static_cast<int>(plane.stride);
    const int scale = plane.stride < planes_.planes[0].stride ? 2 : 1;
    for (int y = 0; y < static_cast<int>(plane.rows); ++y) {
      Fill(ground, 0, 1, sums_.data(), count);
      AddTile(textures_.clouds, scene_.offset_x, y + (is_blue ? 0 : kTile / 2), 16, sums_.data(),
              count);
      for (const Shape& shape : scene_.shapes) {
        const auto [begin, length] = SpanOf(shape, y, scale, count);
        if (length > 0) Fill(of_shape, 0, 1, sums_.data() + begin, length);
      }
      AddGrain(y + (is_blue ? 71 : 142), scene_.chroma_grain, count);
      Store(sums_.data(), count, plane.samples.data() + std::size_t{plane.stride} * RowOf(y));
    }
  }

 private:
  static std::size_t RowOf(int y) { return static_cast<std::size_t>(y); }

  struct Span {
    int begin = 0;
    int length = 0;
  };

  // Where a shape covers row `y` of a plane that has a sample for `scale` pixels each way.
  static Span SpanOf(const Shape& shape, int y, int scale, int count) {
    const int half = shape.HalfWidthAt(y * scale - shape.y);
    if (half < 0) return {};
    const int begin = std::clamp((shape.x - half) / scale, 0, count);
    const int end = std::clamp((shape.x + half) / scale, 0, count);
    return {begin, end - begin};
  }

  // Each row from another place, so that no pattern shows.
  void AddGrain(int y, int strength, int count) {
    AddTile(textures_.grain, scene_.offset_x + 97 * y * y, 5 * y + scene_.offset_y, strength,
            sums_.data(), count);
  }

  const SynthTextures& textures_;
  const ClassTraits& traits_;
  const Scene& scene_;
  storage::YccPlanes& planes_;
  std::vector<std::int16_t> sums_;  // of one row
};

}  // namespace

SynthPictures::SynthPictures(std::uint64_t seed) : seed_(seed) {
  auto textures = std::make_unique<SynthTextures>();
  RandomStream random({.seed = seed}, kTextureStream);
  for (const int wave_length : kWaveLengths) {
    for (int direction = 0; direction < kDirections; ++direction) {
      textures->of_classes.push_back(MakeTexture(direction, wave_length, &random));
    }
  }
  textures->clouds = MakeClouds(&random);
  textures->grain = MakeGrain(&random);
  textures_ = std::move(textures);
}

SynthPictures::~SynthPictures() = default;

std::vector<std::byte> SynthPictures::Make(const SynthKey& key) const {
  const ClassTraits traits = TraitsOf(seed_, key.label);
  const std::uint64_t sample_id = std::uint64_t{key.label} << 32 | key.number;
  RandomStream random({.seed = seed_, .epoch = key.split, .sample_id = sample_id}, kPictureStream);
  const Format format = MakeFormat(&random);
  const Scene scene = MakeScene(format, traits, &random);
  storage::YccPlanes planes;
  planes.Resize(static_cast<std::uint32_t>(format.width), static_cast<std::uint32_t>(format.height),
                format.subsampling);
  Painter painter(*textures_, traits, scene, &planes);
  painter.PaintLuminance();
  for (std::size_t i = 1; i < planes.planes.size(); ++i) painter.PaintChroma(i);
  return storage::EncodeJpeg(planes,
                             {.quality = format.quality, .subsampling = format.subsampling});
}

}  // namespace millrace::pipeline
