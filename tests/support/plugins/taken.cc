// A plugin whose operation changes pixels under the name of one that changes geometry.
#include "pipeline/plugin.h"

MILLRACE_PLUGIN(registry) { registry.AddPixelOp("center_crop", nullptr); }
