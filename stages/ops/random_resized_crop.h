// { op = "random_resized_crop", size = 224, scale = [0.08, 1.0], ratio = [0.75, 1.3333333333333333]
// }: a random box of the picture, resized to a given size.
//
// Source: RandomResizedCrop of torchvision 0.26 (Szegedy et al., "Going deeper with convolutions",
// 2014). Draws and logarithms are in double precision where torchvision has float32.
#pragma once

#include <memory>

#include "base/params.h"
#include "base/random.h"
#include "stages/ops/geometry_op.h"

namespace millrace::stages {

struct RandomCropLimits {
  double least_scale = 0.08;  // of the picture's area
  double most_scale = 1.0;
  double least_ratio = 3.0 / 4.0;  // width / height
  double most_ratio = 4.0 / 3.0;
};

// Ten tries at a box within the limits; then the largest central box whose ratio is within them.
Box RandomCropBox(Size picture, const RandomCropLimits& limits, RandomStream random);

std::unique_ptr<GeometryOp> MakeRandomResizedCrop(const Params& params);

}  // namespace millrace::stages
