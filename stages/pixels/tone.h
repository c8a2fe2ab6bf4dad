// Solarize, posterize, equalize, autocontrast and invert, with the arithmetic of Pillow's ImageOps
// bit for bit.
#pragma once

#include "stages/pixels/pixels.h"

namespace millrace::stages {

void Invert(Pixels pixels);
// Values from `threshold` on are inverted.
void Solarize(double threshold, Pixels pixels);
// The highest bits stay. REQUIRES: 0 <= bits <= 8
void Posterize(int bits, Pixels pixels);
// Each channel's histogram as flat as may be.
void Equalize(Pixels pixels);
// Each channel stretched to 0..255.
void Autocontrast(Pixels pixels);

}  // namespace millrace::stages
