// A plugin with one component of each kind that recipes can name; docs/plugins.md goes through it.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/layers.h"
#include "model/loss.h"
#include "model/metric.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/schedule.h"
#include "pipeline/plugin.h"
#include "stages/ops/pixel_op.h"
#include "tracking/event.h"

namespace {

using millrace::Params;
using millrace::model::NamedTensor;

// { op = "frame", width = 2, p = 0.5 }: paints a frame of one grey, drawn anew for each picture.
class Frame final : public millrace::stages::PixelOp {
 public:
  Frame(int width, double p) : width_(width), p_(p) {}

  void Apply(millrace::RandomStream random, millrace::stages::PixelScratch*,
             millrace::stages::Pixels pixels) const override {
    if (random.Uniform() >= p_) return;
    const auto grey = static_cast<std::uint8_t>(random.Below(256));
    for (int y = 0; y < pixels.size.height; ++y) {
      std::uint8_t* const row = pixels.row(y);
      const bool is_edge = y < width_ || y >= pixels.size.height - width_;
      const std::size_t bytes = is_edge ? pixels.row_bytes() : std::size_t{3} * width_;
      std::fill_n(row, bytes, grey);
      std::fill_n(row + pixels.row_bytes() - bytes, bytes, grey);
    }
  }

 private:
  int width_;  // [pixels]
  double p_;
};

std::unique_ptr<millrace::stages::PixelOp> MakeFrame(const Params& section,
                                                     millrace::stages::Size size) {
  const int most = std::min(size.width, size.height) / 2;
  return std::make_unique<Frame>(static_cast<int>(section.IntegerIn("width", 1, most, 2)),
                                 section.NumberIn("p", 0, 1, 0.5));
}

// [loss] name = "focal", gamma = 2.0: Lin et al. 2017, arXiv:1708.02002, over softmax.
class Focal final : public millrace::model::Loss {
 public:
  explicit Focal(double gamma) : gamma_(gamma) {}

  at::Tensor PerSample(const at::Tensor& logits, const at::Tensor& targets) const override {
    const at::Tensor log_p = at::log_softmax(logits, 1);
    const at::Tensor losses = (1 - log_p.exp()).pow(gamma_) * -log_p;
    if (targets.dim() == 2) return (losses * targets).sum(1);  // shares of classes: MixUp
    return losses.gather(1, targets.unsqueeze(1)).squeeze(1);
  }

  at::Tensor Mean(const at::Tensor& logits, const at::Tensor& targets) const override {
    return PerSample(logits, targets).mean();
  }

 private:
  double gamma_;
};

std::unique_ptr<millrace::model::Loss> MakeFocal(const Params& section) {
  return std::make_unique<Focal>(section.NumberIn("gamma", 0, 10, 2.0));
}

// [model] name = "tiny_conv", channels = 16: one convolution and a classifier.
class TinyConv final : public millrace::model::Network {
 public:
  TinyConv(std::int64_t channels, std::int64_t classes, at::Generator generator,
           c10::MemoryFormat format)
      : Network("tiny_conv", classes, /*sync_batch_norm=*/false),
        conv_({.in = 3, .out = channels, .kernel = 3, .stride = 2}, generator),
        norm_(channels),
        classifier_(channels, classes, generator) {
    conv_.Finish(format);
    norm_.Finish();
    classifier_.Finish();
    AddParameter("conv.weight", conv_.weight);
    AddParameter("norm.weight", norm_.weight);
    AddParameter("norm.bias", norm_.bias);
    AddBuffer("norm.running_mean", norm_.running_mean);
    AddBuffer("norm.running_var", norm_.running_var);
    AddBuffer("norm.num_batches_tracked", norm_.num_batches_tracked);
    AddParameter("fc.weight", classifier_.weight);
    AddParameter("fc.bias", classifier_.bias);
  }

  at::Tensor Forward(const at::Tensor& images, bool training) override {
    const at::Tensor features = norm_.ForwardRelu(conv_.Forward(images), training);
    return classifier_.Forward(features.mean({2, 3}));
  }

 private:
  millrace::model::Conv2d conv_;
  millrace::model::BatchNorm2d norm_;
  millrace::model::Linear classifier_;
};

std::unique_ptr<millrace::model::Network> MakeTinyConv(const Params& section, std::int64_t classes,
                                                       std::uint64_t seed) {
  return std::make_unique<TinyConv>(section.IntegerIn("channels", 1, 4096, 16), classes,
                                    at::detail::createCPUGenerator(seed),
                                    millrace::model::ReadMemoryFormat(section));
}

// [optimizer] name = "sign_sgd": Bernstein et al. 2018, arXiv:1802.04434. It keeps no state.
class SignSgd final : public millrace::model::Optimizer {
 public:
  SignSgd(std::span<const NamedTensor> parameters,
          const millrace::model::OptimizerSettings& settings)
      : Optimizer(parameters, settings) {}

  std::vector<NamedTensor> StateTensors() const override { return {}; }

 protected:
  void Update(const std::optional<at::Tensor>& found_inf) override {
    for (const auto& group : groups()) {
      for (const at::Tensor& parameter : group.parameters) {
        at::Tensor step = (parameter.grad() + group.weight_decay * parameter).sign();
        if (found_inf)
          step = at::where(found_inf->eq(0), step, at::scalar_tensor(0, step.options()));
        WithRate([&](const auto& rate) { parameter.sub_(at::mul(step, rate)); });
      }
    }
  }
};

std::unique_ptr<millrace::model::Optimizer> MakeSignSgd(const Params& section,
                                                        std::span<const NamedTensor> parameters) {
  return std::make_unique<SignSgd>(
      parameters, millrace::model::ReadOptimizerSettings(section, /*default_weight_decay=*/0));
}

// [schedule] name = "triangle", cycle_steps = 100, min_factor = 0.1: up to the optimizer's rate and
// down again. Smith 2015, arXiv:1506.01186.
class Triangle final : public millrace::model::Schedule {
 public:
  Triangle(double base_lr, double min_factor, std::int64_t cycle_steps)
      : base_lr_(base_lr), min_factor_(min_factor), cycle_steps_(cycle_steps) {}

  double LearningRateAt(std::int64_t step) const override {
    const double at =
        static_cast<double>(step % cycle_steps_) / static_cast<double>(cycle_steps_);  // in 0..1
    return base_lr_ * (min_factor_ + (1 - min_factor_) * (1 - std::abs(2 * at - 1)));
  }

 private:
  double base_lr_;
  double min_factor_;
  std::int64_t cycle_steps_;
};

std::unique_ptr<millrace::model::Schedule> MakeTriangle(const Params& section, double base_lr,
                                                        std::int64_t /*steps_per_epoch*/,
                                                        std::int64_t /*total_steps*/) {
  return std::make_unique<Triangle>(base_lr, section.NumberIn("min_factor", 0, 1, 0.1),
                                    section.IntegerIn("cycle_steps", 2, 1'000'000'000, 100));
}

// [evaluation] metrics = [{ metric = "topk", k = 3 }]: how often the label's score is among the k
// greatest.
class TopK final : public millrace::model::Metric {
 public:
  explicit TopK(std::int64_t k) : k_(k) {}

  at::Tensor OfSamples(const at::Tensor& logits, const at::Tensor& labels) const override {
    const at::Tensor column = labels.unsqueeze(1);
    return logits.gt(logits.gather(1, column)).sum(1, /*keepdim=*/true).lt(k_).to(at::kDouble);
  }

 private:
  std::int64_t k_;
};

// Recipes are checked before their data is read: `classes` is no limit for a setting.
std::unique_ptr<millrace::model::Metric> MakeTopK(const Params& section, std::int64_t /*classes*/) {
  return std::make_unique<TopK>(section.IntegerIn("k", 1, 1'000'000, 1));
}

// [tracking] sinks = [{ sink = "csv", file = "metrics.csv" }]: results as lines
// "step,group,name,value" in the run's folder.
class Csv final : public millrace::tracking::Sink {
 public:
  explicit Csv(std::filesystem::path path) : path_(std::move(path)) {}

  void OnStatus(const millrace::tracking::Status& status) override {
    if (status.state != millrace::tracking::Status::State::kRunning) return;
    // A run that goes on from a checkpoint comes again to what was told behind that.
    std::ostringstream kept;
    std::ifstream before(path_);
    for (std::string line; std::getline(before, line);) {
      if (std::stoull(line) <= status.step) kept << line << '\n';
    }
    before.close();
    file_.open(path_);
    file_ << kept.str() << std::flush;
    if (!file_) millrace::Fail("{} cannot be written", path_.string());
  }

  void OnScalars(const millrace::tracking::Scalars& scalars) override {
    if (scalars.kind != millrace::tracking::Scalars::Kind::kResult) return;
    for (const auto& [name, value] : scalars.values) {
      file_ << scalars.step << ',' << scalars.group << ',' << name << ',' << value << '\n';
    }
    file_.flush();
    if (!file_) millrace::Fail("{} cannot be written", path_.string());
  }

 private:
  std::filesystem::path path_;
  std::ofstream file_;
};

std::unique_ptr<millrace::tracking::Sink> MakeCsv(const Params& section,
                                                  const std::filesystem::path& folder) {
  return std::make_unique<Csv>(folder / section.Text("file", "metrics.csv"));
}

}  // namespace

MILLRACE_PLUGIN(registry) {
  registry.AddPixelOp("frame", &MakeFrame);
  registry.AddLoss("focal", &MakeFocal);
  registry.AddNetwork("tiny_conv", &MakeTinyConv);
  registry.AddOptimizer("sign_sgd", &MakeSignSgd);
  registry.AddSchedule("triangle", &MakeTriangle);
  registry.AddMetric("topk", &MakeTopK);
  registry.AddSink("csv", &MakeCsv);
}
