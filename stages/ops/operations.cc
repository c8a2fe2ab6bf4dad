#include "stages/ops/operations.h"

#include "stages/ops/affine_ops.h"
#include "stages/ops/auto_augment.h"
#include "stages/ops/center_crop.h"
#include "stages/ops/coarse_dropout.h"
#include "stages/ops/color_jitter.h"
#include "stages/ops/enhance_ops.h"
#include "stages/ops/flip.h"
#include "stages/ops/gaussian_blur.h"
#include "stages/ops/hue_saturation_value.h"
#include "stages/ops/lighting.h"
#include "stages/ops/random_erasing.h"
#include "stages/ops/random_resized_crop.h"
#include "stages/ops/resize_op.h"
#include "stages/ops/three_augment.h"
#include "stages/ops/tone_ops.h"

namespace millrace::stages {

const Operations& BuiltInOperations() {
  static const Operations kOperations{
      .geometry =
          {
              {"random_resized_crop", &MakeRandomResizedCrop},
              {"resize", &MakeResize},
              {"center_crop", &MakeCenterCrop},
              {"horizontal_flip", &MakeHorizontalFlip},
              {"vertical_flip", &MakeVerticalFlip},
          },
      .pixels =
          {
              {"color_jitter", &MakeColorJitter},
              {"hue_saturation_value", &MakeHueSaturationValue},
              {"lighting", &MakeLighting},
              {"brightness", &MakeBrightness},
              {"contrast", &MakeContrast},
              {"saturation", &MakeSaturation},
              {"hue", &MakeHue},
              {"sharpness", &MakeSharpness},
              {"adjust_sharpness", &MakeAdjustSharpness},
              {"grayscale", &MakeGrayscale},
              {"invert", &MakeInvert},
              {"solarize", &MakeSolarize},
              {"posterize", &MakePosterize},
              {"equalize", &MakeEqualize},
              {"autocontrast", &MakeAutocontrast},
              {"gaussian_blur", &MakeGaussianBlur},
              {"shear_x", &MakeShearX},
              {"shear_y", &MakeShearY},
              {"translate_x", &MakeTranslateX},
              {"translate_y", &MakeTranslateY},
              {"rotate", &MakeRotate},
              {"rand_augment", &MakeRandAugment},
              {"trivial_augment_wide", &MakeTrivialAugmentWide},
              {"auto_augment", &MakeAutoAugment},
              {"aug_mix", &MakeAugMix},
              {"three_augment", &MakeThreeAugment},
              {"coarse_dropout", &MakeCoarseDropout},
              {"random_erasing", &MakeRandomErasing},
          },
  };
  return kOperations;
}

}  // namespace millrace::stages
