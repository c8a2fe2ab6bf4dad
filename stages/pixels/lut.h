// Pictures through tables of 256 entries: whatever maps a value without looking at its neighbours.
#pragma once

#include <array>
#include <cstdint>

#include "stages/pixels/pixels.h"

namespace millrace::stages {

using Lut = std::array<std::uint8_t, 256>;
using Histogram = std::array<std::uint32_t, 256>;

// Every value of every channel becomes lut[value].
void ApplyLut(const Lut& lut, Pixels pixels);

// The same with a table for red, green and blue each.
void ApplyLuts(const std::array<Lut, kChannels>& luts, Pixels pixels);

// How often each value occurs in red, green and blue.
std::array<Histogram, kChannels> Histograms(Pixels pixels);

}  // namespace millrace::stages
