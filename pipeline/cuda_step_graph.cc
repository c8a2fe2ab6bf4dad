#include "pipeline/cuda_step_graph.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "pipeline/step_check.h"

namespace millrace::pipeline {
namespace {

// PyTorch's guide warms up for three steps ("CUDA semantics", "CUDA Graphs"): cuDNN has then chosen
// its kernels and every workspace is there.
constexpr int kWarmUpSteps = 3;

std::vector<at::Tensor> Copies(const std::vector<at::Tensor>& tensors) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> copies;
  copies.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

void Restore(const std::vector<at::Tensor>& tensors, const std::vector<at::Tensor>& copies) {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(copies[i]);
}

// Whether a recording for one batch takes the other.
bool SameSize(const stages::DeviceBatch& a, const stages::DeviceBatch& b) {
  return a.images.sizes() == b.images.sizes() && a.images.scalar_type() == b.images.scalar_type() &&
         a.mix.defined() == b.mix.defined();
}

void CopyInto(const at::Tensor& target, const at::Tensor& source) {
  if (target.const_data_ptr() != source.const_data_ptr()) target.copy_(source);
}

}  // namespace

struct CudaStepGraph::Impl {
  enum class Stage { kWarmingUp, kRecorded, kGivenUp };

  // Runs the step, records it and compares. Returns the loss; leaves the state that the step made.
  at::Tensor Record(const stages::DeviceBatch& batch, const LaneDevice::Step& step,
                    const std::vector<at::Tensor>& state) {
    const std::vector<at::Tensor> before = Copies(state);
    const at::Tensor loss = step(batch).clone();
    const StepOutcome wanted{.loss = loss.item<double>(), .state = Copies(state)};
    std::string problem;
    try {
      Restore(state, before);
      Capture(batch, step);
      graph->replay();
      const double got = output.item<double>();
      problem = CompareSteps(before, wanted, {.loss = got, .state = Copies(state)}, exact);
      if (!problem.empty()) problem = "on the same batch " + problem;
    } catch (const c10::Error& error) {
      problem = error.what_without_backtrace();
      problem = problem.substr(0, problem.find('\n'));
    }
    if (problem.empty()) {
      stage = Stage::kRecorded;
      tell(
          fmt::format("the train step is a CUDA graph from now on{}: it gives what the step itself "
                      "does",
                      recordings++ == 0 ? "" : ", again for batches of another size"));
    } else {
      stage = Stage::kGivenUp;
      (void)cudaGetLastError();
      Drop();
      tell(fmt::format("the train step runs without a CUDA graph: {}", problem));
    }
    Restore(state, wanted.state);
    return loss;
  }

  // Gives the recording and its memory back.
  void Drop() {
    graph.reset();
    input = {};
    output.reset();
    c10::cuda::CUDACachingAllocator::emptyCache();
  }

  void Capture(const stages::DeviceBatch& batch, const LaneDevice::Step& step) {
    // The recording keeps memory of its own; what lies in the cache would be lost to it.
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    input = batch;
    graph.emplace();
    // Other threads may use CUDA in the meantime.
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      output = step(input);
    } catch (...) {
      // What went wrong first is what counts.
      try {
        graph->capture_end();
      } catch (const c10::Error&) {
      }
      throw;
    }
    graph->capture_end();
  }

  bool exact = false;
  std::function<void(const std::string&)> tell;
  Stage stage = Stage::kWarmingUp;
  int steps = 0;  // of the size of `input`
  int recordings = 0;
  stages::DeviceBatch input;  // what the recording reads
  at::Tensor output;          // what it writes
  std::optional<at::cuda::CUDAGraph> graph;
};

CudaStepGraph::CudaStepGraph(bool exact, std::function<void(const std::string&)> tell)
    : impl_(std::make_unique<Impl>()) {
  impl_->exact = exact;
  impl_->tell = std::move(tell);
}

CudaStepGraph::~CudaStepGraph() = default;

at::Tensor CudaStepGraph::Run(const stages::DeviceBatch& batch, const LaneDevice::Step& step,
                              const std::vector<at::Tensor>& state) {
  Impl& impl = *impl_;
  if (impl.stage == Impl::Stage::kGivenUp) return step(batch);
  if (impl.stage == Impl::Stage::kRecorded && !SameSize(batch, impl.input)) {
    // What was recorded may still be running.
    c10::cuda::device_synchronize();
    impl.Drop();
    impl.stage = Impl::Stage::kWarmingUp;
    impl.steps = 0;
  }
  if (impl.stage == Impl::Stage::kRecorded) {
    CopyInto(impl.input.images, batch.images);
    CopyInto(impl.input.labels, batch.labels);
    if (batch.mix.defined()) CopyInto(impl.input.mix, batch.mix);
    impl.graph->replay();
    return impl.output;
  }
  if (impl.steps > 0 && !SameSize(batch, impl.input)) impl.steps = 0;
  impl.input = batch;
  if (impl.steps++ < kWarmUpSteps) return step(batch);
  return impl.Record(batch, step, state);
}

}  // namespace millrace::pipeline
