#include "stages/pixels/hsv_shift.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace millrace::stages {

namespace {

constexpr int kHues = 180;
constexpr int kShift = 12;  // bits of fraction
constexpr int kHalf = 1 << (kShift - 1);

// Reciprocals in fixed point: of a value for the saturation, of a range for the hue.
struct Reciprocals {
  std::array<int, 256> saturation{};
  std::array<int, 256> hue{};
};

Reciprocals MakeReciprocals() {
  Reciprocals made;
  for (int i = 1; i < 256; ++i) {
    const auto at = static_cast<std::size_t>(i);
    made.saturation[at] = static_cast<int>(std::nearbyint((255 << kShift) / (1.0 * i)));
    made.hue[at] = static_cast<int>(std::nearbyint((kHues << kShift) / (6.0 * i)));
  }
  return made;
}

struct Hsv {
  std::size_t hue;
  std::size_t saturation;
  std::size_t value;
};

Hsv ToHsv(const Reciprocals& reciprocals, const std::uint8_t* rgb) {
  const int red = rgb[0];
  const int green = rgb[1];
  const int blue = rgb[2];
  const int value = std::max({red, green, blue});
  const int range = value - std::min({red, green, blue});
  const int sixths = value == red     ? green - blue
                     : value == green ? blue - red + 2 * range
                                      : red - green + 4 * range;
  const int saturation =
      (range * reciprocals.saturation[static_cast<std::size_t>(value)] + kHalf) >> kShift;
  const int hue = (sixths * reciprocals.hue[static_cast<std::size_t>(range)] + kHalf) >> kShift;
  return {static_cast<std::size_t>(hue < 0 ? hue + kHues : hue),
          static_cast<std::size_t>(saturation), static_cast<std::size_t>(value)};
}

// How a hue is made of a colour's four levels (its value, the least, a falling and a rising one),
// and how far it is within its sixth of the circle.
struct Place {
  std::array<std::uint8_t, kChannels> levels;
  float rest;
  float to_next;
};

std::array<Place, kHues> MakePlaces() {
  constexpr std::array<std::uint8_t, kChannels> kLevels[6] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3},
                                                              {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
  std::array<Place, kHues> places;
  for (std::size_t hue = 0; hue < places.size(); ++hue) {
    const float sixths = static_cast<float>(hue) * (6.0f / kHues);
    const auto sixth = static_cast<std::size_t>(sixths);
    const float rest = sixths - static_cast<float>(sixth);
    places[hue] = {kLevels[sixth % 6], rest, 1.0f - rest};
  }
  return places;
}

// 1 - share * part, rounded once, as a fused multiply-add does it: the product of two float32 is
// exact in double, and over all hues and saturations rounding twice makes no difference.
float OneMinus(float share, float part) {
  return static_cast<float>(1.0 - static_cast<double>(share) * part);
}

std::uint8_t Cut(float level) { return static_cast<std::uint8_t>(level * 255.0f); }

void ToRgb(const Place& place, std::size_t saturation, std::size_t value, std::uint8_t* rgb) {
  const float share = static_cast<float>(saturation) * (1.0f / 255.0f);
  const float top = static_cast<float>(value) * (1.0f / 255.0f);
  const std::uint8_t levels[4] = {Cut(top), Cut(top * (1.0f - share)),
                                  Cut(top * OneMinus(share, place.rest)),
                                  Cut(top * OneMinus(share, place.to_next))};
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    rgb[channel] = levels[place.levels[channel]];
  }
}

}  // namespace

void ShiftHsv(const HsvLuts& luts, Pixels pixels) {
  static const Reciprocals kReciprocals = MakeReciprocals();
  static const std::array<Place, kHues> kPlaces = MakePlaces();
  std::uint8_t* const end = pixels.data + pixels.bytes();
  for (std::uint8_t* rgb = pixels.data; rgb != end; rgb += kChannels) {
    const Hsv hsv = ToHsv(kReciprocals, rgb);
    ToRgb(kPlaces[luts.hue[hsv.hue]], luts.saturation[hsv.saturation], luts.value[hsv.value], rgb);
  }
}

}  // namespace millrace::stages
