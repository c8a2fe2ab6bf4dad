#include "stages/pixels/affine.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numbers>

namespace millrace::stages {

namespace {

constexpr double kDegrees = 180.0 / std::numbers::pi;  // of a radian
constexpr double kRadians = std::numbers::pi / 180.0;  // of a degree

// As Python's round(value, 15): the nearest number with so many decimal places.
double RoundTo15Places(double value) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, "%.15f", value));  // cosines fit
  return std::strtod(text, nullptr);
}

// In 16 bits of fraction.
int Fixed(double value) { return static_cast<int>(std::floor(value * 65536.0 + 0.5)); }

void CopyPixel(const std::uint8_t* from, std::uint8_t* to) { std::memcpy(to, from, kChannels); }

void TransformNearest(const AffineMap& map, const std::uint8_t* fill, const Image& source,
                      Pixels pixels) {
  const int along_x = Fixed(map[0]);
  const int along_x_down = Fixed(map[3]);
  int row_x = Fixed(map[2] + map[0] * 0.5 + map[1] * 0.5);
  int row_y = Fixed(map[5] + map[3] * 0.5 + map[4] * 0.5);
  const auto width = static_cast<unsigned>(source.width());
  const auto height = static_cast<unsigned>(source.height());
  for (int y = 0; y < pixels.size.height; ++y) {
    std::uint8_t* out = pixels.row(y);
    int from_x = row_x;
    int from_y = row_y;
    for (int x = 0; x < pixels.size.width; ++x, out += kChannels) {
      const int column = from_x >> 16;
      const int row = from_y >> 16;
      // A negative number is a large unsigned one.
      const bool inside =
          static_cast<unsigned>(column) < width && static_cast<unsigned>(row) < height;
      CopyPixel(inside ? source.row(row) + column * kChannels : fill, out);
      from_x += along_x;
      from_y += along_x_down;
    }
    row_x += Fixed(map[1]);
    row_y += Fixed(map[4]);
  }
}

double Between(int first, int second, double share) { return first + (second - first) * share; }

void TransformBilinear(const AffineMap& map, const std::uint8_t* fill, const Image& source,
                       Pixels pixels) {
  const int last_x = source.width() - 1;
  const int last_y = source.height() - 1;
  for (int y = 0; y < pixels.size.height; ++y) {
    std::uint8_t* out = pixels.row(y);
    for (int x = 0; x < pixels.size.width; ++x, out += kChannels) {
      double from_x = map[0] * (x + 0.5) + map[1] * (y + 0.5) + map[2];
      double from_y = map[3] * (x + 0.5) + map[4] * (y + 0.5) + map[5];
      if (from_x < 0.0 || from_x >= last_x + 1.0 || from_y < 0.0 || from_y >= last_y + 1.0) {
        CopyPixel(fill, out);
        continue;
      }
      from_x -= 0.5;
      from_y -= 0.5;
      const auto left = static_cast<int>(std::floor(from_x));
      const auto top = static_cast<int>(std::floor(from_y));
      const std::uint8_t* const above = source.row(std::max(top, 0));
      const std::uint8_t* const below = source.row(std::min(top + 1, last_y));
      const int first = std::max(left, 0) * kChannels;
      const int second = std::min(left + 1, last_x) * kChannels;
      for (int channel = 0; channel < kChannels; ++channel) {
        const double upper =
            Between(above[first + channel], above[second + channel], from_x - left);
        const double lower =
            top < last_y ? Between(below[first + channel], below[second + channel], from_x - left)
                         : upper;
        out[channel] = static_cast<std::uint8_t>(upper + (lower - upper) * (from_y - top));
      }
    }
  }
}

}  // namespace

// There and back between angle and slope, as torchvision does, for the same last bits.
AffineMap ShearXMap(double shear) {
  const double angle = std::atan(shear) * kDegrees * kRadians;
  return {1, std::tan(angle), 0, 0, 1, 0};
}

AffineMap ShearYMap(double shear) {
  const double angle = std::atan(shear) * kDegrees * kRadians;
  return {1, 0, 0, std::sin(angle) / std::cos(angle), 1, 0};
}

AffineMap TranslateXMap(int pixels) { return {1, 0, -static_cast<double>(pixels), 0, 1, 0}; }

AffineMap TranslateYMap(int pixels) { return {1, 0, 0, 0, 1, -static_cast<double>(pixels)}; }

AffineMap RotateMap(double degrees, Size size) {
  // As Python's `%`: from 0 on, below 360.
  double turned = std::fmod(degrees, 360.0);
  if (turned < 0) turned += 360.0;
  const double angle = -turned * kRadians;
  const double cosine = RoundTo15Places(std::cos(angle));
  const double sine = RoundTo15Places(std::sin(angle));
  const double x = size.width / 2.0;
  const double y = size.height / 2.0;
  return {cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y};
}

void TransformAffine(const AffineMap& map, const Surround& surround, PixelScratch* scratch,
                     Pixels pixels) {
  Image& source = scratch->picture;
  source.Resize(pixels.size.width, pixels.size.height);
  std::memcpy(source.row(0), pixels.data, pixels.bytes());
  const auto transform =
      surround.interpolation == Interpolation::kNearest ? &TransformNearest : &TransformBilinear;
  transform(map, surround.fill.data(), source, pixels);
}

}  // namespace millrace::stages
