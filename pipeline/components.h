// Everything that recipes can name.
#pragma once

#include <memory>

#include "model/components.h"
#include "stages/ops/operations.h"

namespace millrace::pipeline {

struct Components {
  stages::Operations operations;
  model::Components model;
};

// Those of this program. The part for models is empty in a build without
// LibTorch.
std::shared_ptr<const Components> BuiltInComponents();

}  // namespace millrace::pipeline
