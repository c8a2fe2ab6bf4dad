#include "stages/pixels/hue.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace millrace::stages {

namespace {

// Which steps are float32 and which are double is the reference's.
struct Hsv {
  int hue;  // 0..255
  int saturation;
  int value;
};

Hsv ToHsv(const std::uint8_t* rgb) {
  const int red = rgb[0];
  const int green = rgb[1];
  const int blue = rgb[2];
  const int most = std::max({red, green, blue});
  const int least = std::min({red, green, blue});
  if (most == least) return {0, 0, most};
  const auto range = static_cast<float>(most - least);
  const float saturation = range / static_cast<float>(most);
  const float from_red = static_cast<float>(most - red) / range;
  const float from_green = static_cast<float>(most - green) / range;
  const float from_blue = static_cast<float>(most - blue) / range;
  float hue;  // [sixths of a turn]
  if (red == most) {
    hue = from_blue - from_green;
  } else if (green == most) {
    hue = static_cast<float>(2.0 + from_red - from_blue);
  } else {
    hue = static_cast<float>(4.0 + from_green - from_red);
  }
  const double turns = hue / 6.0 + 1.0;  // from 5/6 to 11/6
  hue = static_cast<float>(turns >= 1.0 ? turns - 1.0 : turns);
  return {std::clamp(static_cast<int>(hue * 255.0), 0, 255),
          std::clamp(static_cast<int>(saturation * 255.0), 0, 255), most};
}

// Where a hue lies: in which sixth of a turn, and how far in it.
struct Place {
  int sixth;
  float rest;
};

std::array<Place, 256> MakePlaces() {
  std::array<Place, 256> places;
  for (std::size_t hue = 0; hue < places.size(); ++hue) {
    const double sixths = static_cast<double>(static_cast<float>(hue)) * 6.0 / 255.0;
    const auto sixth = static_cast<int>(std::floor(sixths));
    places[hue] = {sixth % 6,
                   static_cast<float>(sixths - static_cast<double>(static_cast<float>(sixth)))};
  }
  return places;
}

std::uint8_t Rounded(double value) { return static_cast<std::uint8_t>(value + 0.5); }

void ToRgb(const Hsv& hsv, const Place& place, std::uint8_t* rgb) {
  const auto value = static_cast<std::uint8_t>(hsv.value);
  if (hsv.saturation == 0) {
    rgb[0] = rgb[1] = rgb[2] = value;
    return;
  }
  const auto saturation = static_cast<float>(static_cast<float>(hsv.saturation) / 255.0);
  const double least = 1.0 - static_cast<double>(saturation);
  const double falling =
      1.0 - static_cast<double>(saturation * place.rest);  // the reference's product is float32
  const double rising =
      1.0 - static_cast<double>(saturation) * (1.0 - static_cast<double>(place.rest));
  const std::uint8_t p = Rounded(value * least);
  const std::uint8_t q = Rounded(value * falling);
  const std::uint8_t t = Rounded(value * rising);
  const std::uint8_t made[6][kChannels] = {{value, t, p}, {q, value, p}, {p, value, t},
                                           {p, q, value}, {t, p, value}, {value, p, q}};
  std::copy_n(made[place.sixth], kChannels, rgb);
}

}  // namespace

void AdjustHue(double factor, Pixels pixels) {
  static const std::array<Place, 256> places = MakePlaces();
  // Below zero it wraps around, as the reference's bytes do.
  const auto added = static_cast<unsigned>(static_cast<int>(factor * 255));
  std::uint8_t* const end = pixels.data + pixels.bytes();
  for (std::uint8_t* rgb = pixels.data; rgb != end; rgb += kChannels) {
    const Hsv hsv = ToHsv(rgb);
    ToRgb(hsv, places[(static_cast<unsigned>(hsv.hue) + added) & 0xFF], rgb);
  }
}

}  // namespace millrace::stages
