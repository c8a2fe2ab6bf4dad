// A train step as a CUDA graph: its kernels are recorded once and then started with one call.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/lane_device.h"
#include "stages/device_batch.h"

namespace millrace::pipeline {

// Runs a step as it is for some steps, in which kernels are chosen and memory comes to rest; then
// records it (nothing runs), replays the recording on the batch at hand, and goes on with it if
// loss and changes are those of the step itself. Otherwise the step itself runs, always. A batch of
// another size begins this anew: pictures grow from epoch to epoch and never become smaller, so
// that the recording before is not wanted again, and its memory is needed for larger ones. One
// thread; the stream that is current there must not be the default one.
class CudaStepGraph {
 public:
  // `exact`: the recording must give the same bits. `tell` is told what became of each.
  CudaStepGraph(bool exact, std::function<void(const std::string&)> tell);
  ~CudaStepGraph();
  CudaStepGraph(const CudaStepGraph&) = delete;
  CudaStepGraph& operator=(const CudaStepGraph&) = delete;

  // LaneDevice::Repeat().
  at::Tensor Run(const stages::DeviceBatch& batch, const LaneDevice::Step& step,
                 const std::vector<at::Tensor>& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::pipeline
