// { op = "three_augment" }: one of grayscale, solarize from 128 on, and a Gaussian blur of 0.1 to 2
// pixels, each as likely.
//
// Source: Touvron, Cord, Jegou, "DeiT III: Revenge of the ViT", 2022.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeThreeAugment(const Params& params, Size size);

}  // namespace millrace::stages
