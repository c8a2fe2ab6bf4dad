// Pillow's ImageFilter.GaussianBlur, bit for bit: three box filters whose outermost pixels count in
// part.
//
// Source: Gwosdek, Grewenig, Bruhn, Weickert, "Theoretical foundations of Gaussian convolution by
// extended box filtering", 2011.
#pragma once

#include "stages/pixels/pixels.h"

namespace millrace::stages {

// `sigma` [pixels] is Pillow's radius: the standard deviation of the Gaussian. 0 changes nothing.
void GaussianBlur(double sigma, PixelScratch* scratch, Pixels pixels);

}  // namespace millrace::stages
