// Brightness, contrast, saturation and sharpness, with the arithmetic of Pillow's ImageEnhance bit
// for bit, and the luminance that it is based on.
#pragma once

#include "stages/pixels/pixels.h"

namespace millrace::stages {

// Of Pillow's convert("L"): ITU-R 601-2 luma in 16 bits of fraction.
inline std::uint8_t Luminance(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >>
                                   16);
}

// Every pixel its luminance in all three channels.
void Grayscale(Pixels pixels);

// Factors from 0 on: 0 is black, the mean grey, no colours, or blurred; 1 changes nothing; above
// there is more of it.
void AdjustBrightness(double factor, Pixels pixels);
void AdjustContrast(double factor, Pixels pixels);
void AdjustSaturation(double factor, PixelScratch* scratch, Pixels pixels);
void AdjustSharpness(double factor, PixelScratch* scratch, Pixels pixels);

}  // namespace millrace::stages
