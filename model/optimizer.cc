#include "model/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>
#include <optional>

#include "base/check.h"
#include "base/error.h"

namespace millrace::model {
namespace {

// ATen's fused kernel walks parameter, gradient and state as flat memory and does not check that
// their strides agree.
bool SameLayout(const at::Tensor& a, const at::Tensor& b) {
  for (std::int64_t d = 0; d < a.dim(); ++d) {
    if (a.size(d) != b.size(d) || (a.size(d) > 1 && a.stride(d) != b.stride(d))) return false;
  }
  return a.dim() == b.dim();
}

struct SgdSettings {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  bool decay_norm_and_bias = true;
};

// Stochastic gradient descent as torch.optim.SGD defines it, dampening 0.
class Sgd final : public Optimizer {
 public:
  Sgd(std::span<const NamedTensor> parameters, double learning_rate, const SgdSettings& settings)
      : Optimizer(parameters, learning_rate), settings_(settings) {
    decayed_.weight_decay = settings.weight_decay;
    for (const NamedTensor& parameter : parameters) {
      // Weights of normalisations and all biases are the vectors among a network's parameters.
      const bool decays = settings.decay_norm_and_bias || parameter.tensor.dim() > 1;
      Group& group = decays ? decayed_ : undecayed_;
      group.names.push_back(parameter.name);
      group.parameters.push_back(parameter.tensor);
      if (settings.momentum != 0) {
        // Zero buffers give PyTorch's first step exactly: 0 * momentum + gradient.
        group.momentum_buffers.push_back(at::zeros_like(parameter.tensor));
      }
    }
  }

  void Step(const at::Tensor& found_inf) override {
    const c10::NoGradGuard no_grad;
    std::optional<at::Tensor> overflow;
    if (found_inf.defined()) overflow = found_inf;
    for (Group* group : {&decayed_, &undecayed_}) {
      if (group->parameters.empty()) continue;
      std::vector<at::Tensor> gradients;
      gradients.reserve(group->parameters.size());
      for (const at::Tensor& parameter : group->parameters) {
        MILLRACE_CHECK(parameter.grad().defined() && SameLayout(parameter, parameter.grad()));
        gradients.push_back(parameter.grad());
      }
      const auto update = [&](const auto& lr) {
        at::_fused_sgd_(group->parameters, gradients, group->momentum_buffers, group->weight_decay,
                        settings_.momentum, lr, /*dampening=*/0, settings_.nesterov,
                        /*maximize=*/false, /*is_first_step=*/false, /*grad_scale=*/{}, overflow);
      };
      if (device_rate().defined()) {
        update(device_rate());
      } else {
        update(rate());
      }
    }
  }

  std::vector<NamedTensor> StateTensors() const override {
    std::vector<NamedTensor> state;
    for (const Group* group : {&decayed_, &undecayed_}) {
      for (std::size_t i = 0; i < group->momentum_buffers.size(); ++i) {
        state.push_back({group->names[i] + ".momentum_buffer", group->momentum_buffers[i]});
      }
    }
    return state;
  }

 private:
  struct Group {
    double weight_decay = 0;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> momentum_buffers;  // empty without momentum
  };

  SgdSettings settings_;
  Group decayed_;
  Group undecayed_;
};

std::unique_ptr<Optimizer> MakeSgd(const Params& section, std::span<const NamedTensor> parameters,
                                   double learning_rate) {
  SgdSettings settings;
  settings.momentum = section.NumberIn("momentum", 0, 1, 0.0);
  settings.nesterov = section.Flag("nesterov", false);
  if (settings.nesterov && settings.momentum == 0) {
    section.Blame("nesterov", "needs momentum > 0");
  }
  settings.weight_decay =
      section.NumberIn("weight_decay", 0, std::numeric_limits<double>::max(), 0.0);
  settings.decay_norm_and_bias = section.Flag("decay_norm_and_bias", true);
  if (!settings.decay_norm_and_bias && settings.weight_decay == 0) {
    section.Blame("decay_norm_and_bias", "has no effect without weight_decay");
  }
  return std::make_unique<Sgd>(parameters, learning_rate, settings);
}

}  // namespace

Optimizer::Optimizer(std::span<const NamedTensor> parameters, double learning_rate)
    : parameters_(parameters.begin(), parameters.end()),
      learning_rate_(learning_rate),
      rate_(learning_rate) {
  if (!parameters.empty() && !parameters.front().tensor.is_cpu()) {
    device_rate_ = at::full({}, rate_, parameters.front().tensor.options().requires_grad(false));
  }
  for (NamedTensor& parameter : parameters_) {
    if (!parameter.tensor.grad().defined()) {
      parameter.tensor.mutable_grad() = at::zeros_like(parameter.tensor);
    }
  }
}

void Optimizer::SetLearningRate(double lr) {
  rate_ = lr;
  if (device_rate_.defined()) device_rate_.fill_(lr);
}

void Optimizer::ZeroGradients() {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (const NamedTensor& parameter : parameters_) gradients.push_back(parameter.tensor.grad());
  at::_foreach_zero_(gradients);
}

void Optimizer::LoadState(std::span<const NamedTensor> saved) {
  const std::vector<NamedTensor> state = StateTensors();
  const StateMismatch mismatch = CompareStates(state, saved);
  if (!mismatch.empty()) {
    Fail("the optimizer's state is another optimizer's or another network's: {}", mismatch.Text());
  }
  CopyState(state, saved);
}

std::unique_ptr<Optimizer> MakeOptimizer(const Params& section,
                                         std::span<const NamedTensor> parameters) {
  section.Choice("name", {"sgd"});
  const double learning_rate = section.NumberIn("lr", 0, std::numeric_limits<double>::max());
  return MakeSgd(section, parameters, learning_rate);
}

}  // namespace millrace::model
