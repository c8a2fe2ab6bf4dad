// The hue turned, with the arithmetic of Pillow's HSV pictures bit for bit.
#pragma once

#include "stages/pixels/pixels.h"

namespace millrace::stages {

// What torchvision's adjust_hue makes of a Pillow picture: converted to HSV, `factor` of a turn
// added to the hue in steps of 1/255, and back. REQUIRES: -0.5 <= factor <= 0.5
void AdjustHue(double factor, Pixels pixels);

}  // namespace millrace::stages
