// For builds without LibTorch.
#include "pipeline/components.h"

namespace millrace::pipeline {

std::shared_ptr<const Components> BuiltInComponents() {
  static const auto kComponents = std::make_shared<const Components>(
      Components{.operations = stages::BuiltInOperations(), .model = {}, .sinks = {}});
  return kComponents;
}

}  // namespace millrace::pipeline
