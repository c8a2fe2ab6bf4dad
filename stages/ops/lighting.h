// { op = "lighting", std = 0.1 }: the colours of a picture shifted along the principal components
// of ImageNet's colours, each by a normally distributed share of its eigenvalue.
//
// Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
// networks", 2012; components as in fb.resnet.torch, on the scale 0..1.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeLighting(const Params& params, Size size);

}  // namespace millrace::stages
