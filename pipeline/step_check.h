// Tells whether a recorded train step does what the step itself does.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace millrace::pipeline {

// What one step made of the same batch and the same `before`: its loss, and all that it changes but
// for gradients. Tensors of one device, in one order.
struct StepOutcome {
  double loss = 0;
  std::vector<at::Tensor> state;
};

// "" when `got` is what `wanted` is, else what differs, in words that go on "the recording does not
// do what the step does: ". `exact`: bit for bit. Otherwise up to the last bits that kernels with
// atomics leave open: what a recording may get wrong (a stale input, a rate that is not read again,
// an update that is left out) changes far more. Waits for the device.
std::string CompareSteps(const std::vector<at::Tensor>& before, const StepOutcome& wanted,
                         const StepOutcome& got, bool exact);

}  // namespace millrace::pipeline
