#include "pipeline/cuda_step_graph.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

namespace millrace::pipeline {
namespace {

// PyTorch's guide warms up for three steps ("CUDA semantics", "CUDA Graphs"): cuDNN has then chosen
// its kernels and every workspace is there.
constexpr int kWarmUpSteps = 3;

// Kernels with atomics give sums whose last bits differ from run to run. What a recording may get
// wrong (a stale input, a rate that is not read again, an update that is left out) changes far
// more.
constexpr double kLossTolerance = 1e-3;  // of the loss
constexpr double kErrorTolerance = 5e-2;

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

bool Same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!at::equal(a[i].detach(), b[i])) return false;
  }
  return true;
}

// How far `got` is from `wanted`, tensor by tensor, as a share of how far `before` was: 0 for equal
// ones, the mean over all. Shares, because weights, momentum and running statistics change on
// scales of their own. Scalars and counts must be equal.
double MeanError(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& wanted,
                 const std::vector<at::Tensor>& before) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> shares;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!got[i].is_floating_point() || got[i].dim() == 0) {
      if (!at::equal(got[i], wanted[i])) return 1;
      continue;
    }
    const at::Tensor apart = at::linalg_vector_norm(got[i] - wanted[i]);
    const at::Tensor changed = at::linalg_vector_norm(before[i] - wanted[i]);
    // 0 / 0 where nothing changed, as it should be.
    shares.push_back(at::nan_to_num(apart / changed, /*nan=*/0.0).clamp_max_(1.0));
  }
  return shares.empty() ? 0 : at::stack(shares).mean().item<double>();
}

// Whether the batch is where and as large as the other one.
bool SameSize(const stages::DeviceBatch& a, const stages::DeviceBatch& b) {
  return a.images.sizes() == b.images.sizes() && a.images.scalar_type() == b.images.scalar_type();
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
    const std::vector<at::Tensor> after = Copies(state);
    std::string problem;
    try {
      Restore(state, before);
      Capture(batch, step);
      graph->replay();
      problem = Compare(loss, before, after, state);
    } catch (const c10::Error& error) {
      problem = error.what_without_backtrace();
    }
    if (problem.empty()) {
      stage = Stage::kRecorded;
      tell("the train step is a CUDA graph from now on: it gives what the step itself does");
    } else {
      stage = Stage::kGivenUp;
      graph.reset();
      input = {};
      output.reset();
      (void)cudaGetLastError();
      c10::cuda::CUDACachingAllocator::emptyCache();
      tell(fmt::format("the train step runs without a CUDA graph: {}", problem));
    }
    Restore(state, after);
    return loss;
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

  std::string Compare(const at::Tensor& loss, const std::vector<at::Tensor>& before,
                      const std::vector<at::Tensor>& after, const std::vector<at::Tensor>& state) {
    const double wanted = loss.item<double>();
    const double got = output.item<double>();
    if (exact) {
      if (wanted == got && Same(state, after)) return "";
      return fmt::format(
          "on the same batch it gives a loss of {} instead of {}, or other weights, and the run is "
          "to be deterministic",
          got, wanted);
    }
    // Where the loss is not finite there is nothing to compare, and the run ends.
    const bool same_loss = std::abs(got - wanted) <= kLossTolerance * std::abs(wanted);
    const double error = MeanError(state, after, before);
    if (same_loss && error <= kErrorTolerance) return "";
    return fmt::format(
        "on the same batch it gives a loss of {} instead of {}, and changes that are {:.1f} % off",
        got, wanted, 100 * error);
  }

  bool exact = false;
  std::function<void(const std::string&)> tell;
  Stage stage = Stage::kWarmingUp;
  int steps = 0;              // of the size of `input`
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
  if (impl.stage == Impl::Stage::kRecorded) {
    if (!SameSize(batch, impl.input)) return step(batch);
    CopyInto(impl.input.images, batch.images);
    CopyInto(impl.input.labels, batch.labels);
    impl.graph->replay();
    return impl.output;
  }
  if (impl.steps > 0 && !SameSize(batch, impl.input)) impl.steps = 0;
  impl.input = batch;
  if (impl.steps++ < kWarmUpSteps) return step(batch);
  return impl.Record(batch, step, state);
}

}  // namespace millrace::pipeline
