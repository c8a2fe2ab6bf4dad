// How weights and gradients are distributed, as events.
#pragma once

#include <cstdint>

#include "model/network.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// Tells the log a histogram of each parameter, `weights/<name>`, and with `gradients` of its
// gradient as it lies there, `grads/<name>`, with "/" for "." in names, as PyTorch-Ignite's
// handlers call them. Counted on the network's device; none of what is not finite. On the lane's
// thread.
void TellHistograms(const model::Network& network, std::uint64_t step, bool gradients,
                    tracking::RunLog& log);

}  // namespace millrace::pipeline
