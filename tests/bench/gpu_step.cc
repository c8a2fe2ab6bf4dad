// The train step of ResNet-50 on a GPU, kernel by kernel: which of them take how long.
//
//   build/gpu-bundle/run gpu_step [BATCH [bf16|fp16|off [FILE]]]
//
// The work of configs/imagenet-resnet50.toml on a batch of noise, without a CUDA graph. FILE gets
// the kernels of one step one by one, in their order.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/params.h"
#include "model/deterministic.h"
#include "model/loss.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/resnet.h"
#include "stages/train_step.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

struct KernelTime {
  double microseconds = 0;
  int calls = 0;
};

class Step {
 public:
  Step(std::int64_t batch_size, model::Amp amp)
      : amp_(amp),
        network_(model::MakeResNet(*model::FindResNet("resnet50"),
                                   {.num_classes = 1000, .zero_init_residual = true})),
        loss_(model::MakeLoss(
            Params::FromJson(R"({"name": "cross_entropy", "label_smoothing": 0.1})", "loss"))) {
    network_->MoveTo(c10::Device(c10::kCUDA, 0));
    optimizer_ = model::MakeOptimizer(
        Params::FromJson(R"({"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true,
                             "weight_decay": 1e-4, "decay_norm_and_bias": false})",
                         "optimizer"),
        network_->parameters());
    const auto on_gpu = at::TensorOptions(at::kCUDA);
    batch_.images = at::randn({batch_size, 3, 224, 224}, on_gpu)
                        .to(model::Precision{.amp = amp}.image_type())
                        .contiguous(c10::MemoryFormat::ChannelsLast);
    batch_.labels = at::randint(1000, {batch_size}, on_gpu.dtype(at::kLong));
  }

  void operator()() {
    optimizer_->ZeroGradients();
    stages::AccumulateGradients(*network_, *loss_, amp_, nullptr, batch_, 1.0);
    optimizer_->Step();
  }

 private:
  model::Amp amp_;
  std::unique_ptr<model::Network> network_;
  std::unique_ptr<model::Loss> loss_;
  std::unique_ptr<model::Optimizer> optimizer_;
  stages::DeviceBatch batch_;
};

void Print(std::string_view title, const std::map<std::string, KernelTime>& times, int steps) {
  std::vector<std::pair<std::string, KernelTime>> sorted(times.begin(), times.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.microseconds > b.second.microseconds;
  });
  double all = 0;
  int calls = 0;
  for (const auto& [name, time] : sorted) {
    all += time.microseconds;
    calls += time.calls;
  }
  fmt::print("{}: {:.3f} ms a step, {} kernels\n", title, all / 1000 / steps, calls / steps);
  for (const auto& [name, time] : sorted) {
    fmt::print("{:9.3f} ms {:5.1f} % {:5} x  {}\n", time.microseconds / 1000 / steps,
               100 * time.microseconds / all, time.calls / steps, name.substr(0, 140));
  }
}

int Main(std::int64_t batch_size, model::Amp amp, const char* file) {
  namespace profiler = torch::autograd::profiler;
  namespace impl = torch::profiler::impl;
  constexpr int kSteps = 5;
  model::UseDeterministicKernels(false);
  Step step(batch_size, amp);
  for (int i = 0; i < 5; ++i) step();
  c10::cuda::device_synchronize();
  const auto begin = Clock::now();
  for (int i = 0; i < 20; ++i) step();
  c10::cuda::device_synchronize();
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  fmt::print("{}, batch {}: {:.1f} images/s without a graph\n",
             at::cuda::getCurrentDeviceProperties()->name, batch_size,
             20 * static_cast<double>(batch_size) / seconds.count());

  const impl::ProfilerConfig config(impl::ProfilerState::KINETO);
  const std::set<impl::ActivityType> activities = {impl::ActivityType::CPU,
                                                   impl::ActivityType::CUDA};
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
  for (int i = 0; i < kSteps; ++i) step();
  c10::cuda::device_synchronize();
  const auto result = profiler::disableProfiler();
  std::map<std::string, KernelTime> by_name;
  for (const profiler::KinetoEvent& event : result->events()) {
    if (event.deviceType() != c10::kCUDA) continue;
    KernelTime& time = by_name[event.name()];
    time.microseconds += static_cast<double>(event.durationNs()) / 1000;
    ++time.calls;
  }
  Print("by kernel", by_name, kSteps);
  if (file == nullptr) return 0;
  std::vector<const profiler::KinetoEvent*> in_order;
  for (const profiler::KinetoEvent& event : result->events()) {
    if (event.deviceType() == c10::kCUDA) in_order.push_back(&event);
  }
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* a, const auto* b) { return a->startNs() < b->startNs(); });
  std::string lines;
  for (std::size_t i = in_order.size() - in_order.size() / kSteps; i < in_order.size(); ++i) {
    lines += fmt::format("{:9.1f} us  {}\n", static_cast<double>(in_order[i]->durationNs()) / 1000,
                         in_order[i]->name().substr(0, 140));
  }
  WriteFileAtomically(file, lines);
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  const std::string_view amp = argc > 2 ? argv[2] : "bf16";
  return millrace::Main(argc > 1 ? std::stoll(argv[1]) : 256,
                        amp == "bf16"   ? millrace::model::Amp::kBf16
                        : amp == "fp16" ? millrace::model::Amp::kFp16
                                        : millrace::model::Amp::kOff,
                        argc > 3 ? argv[3] : nullptr);
}
