// A plugin that needs what no program has.
#include "pipeline/plugin.h"

namespace millrace {
std::unique_ptr<stages::PixelOp> NobodyHasThis(const Params& section, stages::Size size);
}

MILLRACE_PLUGIN(registry) { registry.AddPixelOp("nobodys", &millrace::NobodyHasThis); }
