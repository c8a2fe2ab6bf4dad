// Shear, shift and rotation of a picture within its frame, with the arithmetic of Pillow's
// Image.transform(AFFINE) bit for bit, and with torchvision's matrices.
#pragma once

#include <array>
#include <cstdint>

#include "stages/pixels/fill.h"
#include "stages/pixels/pixels.h"

namespace millrace::stages {

enum class Interpolation : std::uint8_t { kNearest, kBilinear };

// What pixels outside of the picture are taken to be.
struct Surround {
  Interpolation interpolation = Interpolation::kNearest;
  Colour fill{};
};

// From the place of a pixel in the result to its place in the picture: x' = a x + b y + c and
// y' = d x + e y + f, where the middle of the first pixel is (0.5, 0.5).
using AffineMap = std::array<double, 6>;  // a, b, c, d, e, f

// Rows, or columns, moved by `shear` times their distance from the upper left corner.
AffineMap ShearXMap(double shear);
AffineMap ShearYMap(double shear);
// To the right, or downwards. [pixels]
AffineMap TranslateXMap(int pixels);
AffineMap TranslateYMap(int pixels);
// Around the middle, against the clock, as Image.rotate.
AffineMap RotateMap(double degrees, Size size);

// REQUIRES: no place is 32,768 pixels or more away from the corner
void TransformAffine(const AffineMap& map, const Surround& surround, PixelScratch* scratch,
                     Pixels pixels);

}  // namespace millrace::stages
