// Everything that recipes can name: what this program has, and what plugins add.
#pragma once

#include <memory>

#include "base/table.h"
#include "model/components.h"
#include "stages/ops/operations.h"
#include "tracking/event.h"

namespace millrace::pipeline {

struct Components {
  stages::Operations operations;
  model::Components model;
  Table<tracking::SinkMaker> sinks;  // only plugins': the program's own are not chosen one by one
};

// Those of this program, without plugins'. The part for models is empty in a build without
// LibTorch.
std::shared_ptr<const Components> BuiltInComponents();

}  // namespace millrace::pipeline
