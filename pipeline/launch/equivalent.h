// Files and commands with which other launchers start what a `millrace launch` would.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/launch/launch.h"

namespace millrace::pipeline::launch {

// What EquivalentText() knows: "torchrun", "slurm", "mpirun", "kubernetes" (an Indexed Job) and
// "pytorchjob" (for Kubeflow's training operator).
std::vector<std::string> EquivalentKinds();

// A shell script, a batch script or a manifest that starts options.processes on each of
// options.nodes machines, with comments that say how to use it and what to adapt. `train` goes on
// from its newest checkpoint in all of them. Throws Error (exit code 2) for another kind, and where
// a launcher cannot do it.
std::string EquivalentText(std::string_view kind, const LaunchOptions& options);

}  // namespace millrace::pipeline::launch
