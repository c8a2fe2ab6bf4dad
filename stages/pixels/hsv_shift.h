// Hue, saturation and value shifted, with the arithmetic of OpenCV's 8-bit HSV bit for bit.
#pragma once

#include "stages/pixels/lut.h"
#include "stages/pixels/pixels.h"

namespace millrace::stages {

// Where each hue [2 degrees, below 180], saturation and value goes.
struct HsvLuts {
  Lut hue;
  Lut saturation;
  Lut value;
};

// cv2.cvtColor to HSV, the tables, and back: as OpenCV's vectors do it on processors with fused
// multiply-adds, that is cut to whole numbers. What is left of a row after the last vector OpenCV
// itself rounds, and is one above in places. REQUIRES: hues below 180 go to hues below 180
void ShiftHsv(const HsvLuts& luts, Pixels pixels);

}  // namespace millrace::stages
