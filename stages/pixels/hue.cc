#include "stages/pixels/hue.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace millrace::stages {

namespace {

// Colours of the way to HSV: all that it depends on are the largest of the three, their range, and
// where between them the third lies. Which steps are float32 and which are double is the
// reference's.
class HueTables {
 public:
  static const HueTables& Get() {
    static const HueTables kTables;
    return kTables;
  }

  // 0..255. `sixth`: of the circle, as SixthOf(). `below`: the largest minus the middle one.
  std::uint8_t Hue(std::size_t sixth, int range, int below) const {
    return hue_[sixth][static_cast<std::size_t>(range)][static_cast<std::size_t>(below)];
  }
  std::uint8_t Saturation(int range, int most) const {
    return saturation_[static_cast<std::size_t>(range)][static_cast<std::size_t>(most)];
  }

 private:
  using Table = std::array<std::array<std::uint8_t, 256>, 256>;

  HueTables() : hue_(6) {
    for (int range = 1; range < 256; ++range) {
      for (int below = 0; below <= range; ++below) {
        for (std::size_t sixth = 0; sixth < hue_.size(); ++sixth) {
          hue_[sixth][static_cast<std::size_t>(range)][static_cast<std::size_t>(below)] =
              MakeHue(sixth, static_cast<float>(below) / static_cast<float>(range));
        }
      }
      for (int most = range; most < 256; ++most) {
        const float saturation = static_cast<float>(range) / static_cast<float>(most);
        saturation_[static_cast<std::size_t>(range)][static_cast<std::size_t>(most)] =
            static_cast<std::uint8_t>(saturation * 255.0);
      }
    }
  }

  // `middle`: how far the middle one is below the largest, of the range. The smallest is so by 1.
  static std::uint8_t MakeHue(std::size_t sixth, float middle) {
    float hue = 0;  // [sixths of a turn]
    switch (sixth) {
      case 0:
        hue = 1.0f - middle;
        break;  // red, then green
      case 1:
        hue = static_cast<float>(2.0 + middle - 1.0);
        break;  // green, then red
      case 2:
        hue = static_cast<float>(2.0 + 1.0 - middle);
        break;  // green, then blue
      case 3:
        hue = static_cast<float>(4.0 + middle - 1.0);
        break;  // blue, then green
      case 4:
        hue = static_cast<float>(4.0 + 1.0 - middle);
        break;  // blue, then red
      default:
        hue = middle - 1.0f;
        break;  // red, then blue
    }
    const double turns = hue / 6.0 + 1.0;  // from 5/6 to 11/6
    hue = static_cast<float>(turns >= 1.0 ? turns - 1.0 : turns);
    return static_cast<std::uint8_t>(hue * 255.0);
  }

  std::vector<Table> hue_;  // [sixth][range][below]
  Table saturation_{};      // [range][largest]
};

struct Hsv {
  int hue;  // 0..255
  int saturation;
  int value;
};

// Between which two of red, green and blue a colour lies; of equal ones the first is the largest.
std::size_t SixthOf(int red, int green, int blue) {
  if (red >= green && red >= blue) return green >= blue ? 0 : 5;
  if (green >= blue) return red >= blue ? 1 : 2;
  return green >= red ? 3 : 4;
}

Hsv ToHsv(const HueTables& tables, const std::uint8_t* rgb) {
  const int red = rgb[0];
  const int green = rgb[1];
  const int blue = rgb[2];
  const int most = std::max({red, green, blue});
  const int least = std::min({red, green, blue});
  const int range = most - least;
  const int below = 2 * most + least - red - green - blue;  // the middle one is what is left
  return {tables.Hue(SixthOf(red, green, blue), range, below), tables.Saturation(range, most),
          most};
}

// How a hue is made of a colour's four levels (its value, the least, a falling and a rising one),
// and how far it is within its sixth of the circle.
struct Place {
  std::array<std::uint8_t, kChannels> levels;
  float rest;
};

// The way back, of everything that one byte decides.
struct BackTables {
  std::array<Place, 256> places;  // by hue
  std::array<float, 256> shares;  // by saturation

  static const BackTables& Get() {
    static const BackTables kTables;
    return kTables;
  }

 private:
  BackTables() {
    constexpr std::array<std::uint8_t, kChannels> kLevels[6] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3},
                                                                {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    for (std::size_t i = 0; i < places.size(); ++i) {
      const double sixths = static_cast<double>(i) * 6.0 / 255.0;
      const double sixth = std::floor(sixths);
      places[i] = {kLevels[static_cast<std::size_t>(sixth) % 6],
                   static_cast<float>(sixths - sixth)};
      shares[i] = static_cast<float>(static_cast<double>(i) / 255.0);
    }
  }
};

// Halves go up. No level is so little below a half that adding one makes it whole: all hues,
// saturations and values were tried.
std::uint8_t Rounded(double level) {
  return static_cast<std::uint8_t>(level + 0.5);  // NOLINT(bugprone-incorrect-roundings)
}

void ToRgb(const Place& place, float share, int value, std::uint8_t* rgb) {
  const double saturation = share;
  const std::uint8_t levels[4] = {
      static_cast<std::uint8_t>(value), Rounded(value * (1.0 - saturation)),
      Rounded(value * (1.0 - static_cast<double>(share * place.rest))),
      Rounded(value * (1.0 - saturation * (1.0 - static_cast<double>(place.rest))))};
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    rgb[channel] = levels[place.levels[channel]];
  }
}

}  // namespace

void AdjustHue(double factor, Pixels pixels) {
  const HueTables& there = HueTables::Get();
  const BackTables& back = BackTables::Get();
  // Below zero it wraps around, as the reference's bytes do.
  const auto added = static_cast<unsigned>(static_cast<int>(factor * 255));
  std::uint8_t* const end = pixels.data + pixels.bytes();
  for (std::uint8_t* rgb = pixels.data; rgb != end; rgb += kChannels) {
    const Hsv hsv = ToHsv(there, rgb);
    const unsigned hue = (static_cast<unsigned>(hsv.hue) + added) & 0xFF;
    ToRgb(back.places[hue], back.shares[static_cast<std::size_t>(hsv.saturation)], hsv.value, rgb);
  }
}

}  // namespace millrace::stages
