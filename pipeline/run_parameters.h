// What a recipe sets, as the parameters that trackers show.
#pragma once

#include "pipeline/recipe.h"
#include "tracking/event.h"

namespace millrace::pipeline {

// Every setting as it took effect, under its dotted name ("optimizer.lr"), sorted by it. A list is
// one text, as JSON has it. Complete once every component has read its section.
tracking::Parameters RunParameters(const Recipe& recipe);

}  // namespace millrace::pipeline
