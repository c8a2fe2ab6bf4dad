// Augmentation policies as torchvision has them, on Pillow pictures:
//
//   { op = "rand_augment", num_ops = 2, magnitude = 9, num_magnitude_bins = 31 }
//   { op = "trivial_augment_wide", num_magnitude_bins = 31 }
//   { op = "auto_augment", policy = "imagenet" }, or "cifar10" or "svhn"
//   { op = "aug_mix", severity = 3, mixture_width = 3, chain_depth = -1, all_ops = true }
//
// All with interpolation = "nearest" or "bilinear" (the default of aug_mix) and fill = [0, 0, 0].
//
// Sources: Cubuk et al., "RandAugment", 2019; Mueller, Hutter, "TrivialAugment", 2021; Cubuk et
// al., "AutoAugment", 2018; Hendrycks et al., "AugMix", 2019.
#pragma once

#include <memory>

#include "base/params.h"
#include "stages/ops/pixel_op.h"

namespace millrace::stages {

std::unique_ptr<PixelOp> MakeRandAugment(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeTrivialAugmentWide(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeAutoAugment(const Params& params, Size size);
std::unique_ptr<PixelOp> MakeAugMix(const Params& params, Size size);

}  // namespace millrace::stages
