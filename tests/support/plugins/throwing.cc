// A plugin that fails in a way of its own.
#include <stdexcept>

#include "pipeline/plugin.h"

MILLRACE_PLUGIN(registry) {
  static_cast<void>(registry);
  throw std::runtime_error("has no licence");
}
