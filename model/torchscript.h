// Networks that Python has exported as TorchScript (`torch.jit.script(model).save("model.pt")`).
//
// The file is a program of operators on tensors; LibTorch interprets it as it stands, one operator
// after the other, without the optimisations that TorchScript makes from what it sees while it
// runs: a step computes the same whatever came before it, and what the model itself would compute
// in Python. Such a program may read and write files: load only what comes from people you trust.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/params.h"
#include "model/network.h"

namespace millrace::model {

// SHA-256 of the file that the [model] section names; "" when it names none.
std::string TorchScriptHash(const Params& section);

// Whether the [model] section names such a file (`torchscript`, "" for none).
bool IsTorchScript(const Params& section);

// The network in the file that the [model] section names, on the CPU, with the weights that it
// holds under their names there. Keys: `torchscript`, `memory_format`. Parameters that do not
// require gradients in the file are not trained: they are among the buffers. What is drawn in
// training (dropout) is a function of `seed`, the epoch and the samples of the batch. Throws Error
// (exit code 2) when the file is no such program or cannot be trained, and for settings that only
// built-in networks have. REQUIRES: IsTorchScript(section)
std::unique_ptr<Network> LoadTorchScript(const Params& section, std::int64_t classes,
                                         std::uint64_t seed);

// Runs the network that the [model] section names on pictures of this size [pixels], on the CPU.
// Throws Error (exit code 2) saying what to do when it fails, does not give a score for each of the
// dataset's `classes`, or, with `trains`, has parameters that get no gradient. Does nothing for a
// built-in network.
void RehearseTorchScript(const Params& section, std::int64_t classes, std::int64_t height,
                         std::int64_t width, bool trains);

}  // namespace millrace::model
