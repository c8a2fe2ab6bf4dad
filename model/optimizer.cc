#include "model/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "model/adamw.h"
#include "model/clip_norm.h"
#include "model/lamb.h"
#include "model/lars.h"
#include "model/sgd.h"

namespace millrace::model {
namespace {

constexpr double kMax = std::numeric_limits<double>::max();

// ATen's fused kernels walk parameter, gradient and state as flat memory and do not check that
// their strides agree.
bool SameLayout(const at::Tensor& a, const at::Tensor& b) {
  for (std::int64_t d = 0; d < a.dim(); ++d) {
    if (a.size(d) != b.size(d) || (a.size(d) > 1 && a.stride(d) != b.stride(d))) return false;
  }
  return a.dim() == b.dim();
}

std::vector<at::Tensor> AllGradients(std::span<const NamedTensor> parameters) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  for (const NamedTensor& parameter : parameters) gradients.push_back(parameter.tensor.grad());
  return gradients;
}

std::vector<ParameterGroup> MakeGroups(std::span<const NamedTensor> parameters,
                                       const OptimizerSettings& settings) {
  ParameterGroup decayed{.weight_decay = settings.weight_decay, .names = {}, .parameters = {}};
  ParameterGroup undecayed;
  for (const NamedTensor& parameter : parameters) {
    // Weights of normalisations and all biases are the vectors among a network's parameters.
    const bool decays = settings.decay_norm_and_bias || parameter.tensor.dim() > 1;
    ParameterGroup& group = decays ? decayed : undecayed;
    group.names.push_back(parameter.name);
    group.parameters.push_back(parameter.tensor);
  }
  std::vector<ParameterGroup> groups;
  for (ParameterGroup* group : {&decayed, &undecayed}) {
    if (!group->parameters.empty()) groups.push_back(std::move(*group));
  }
  return groups;
}

constexpr double kNoDecay = 0;
constexpr double kSomeDecay = 0.01;  // the default of torch.optim.AdamW and timm's Lamb

// `kMake`: from the section, the parameters and the settings that all optimizers have.
template <auto kMake, const double& kDefaultDecay>
std::unique_ptr<Optimizer> MakeWithSettings(const Params& section,
                                            std::span<const NamedTensor> parameters) {
  return kMake(section, parameters, ReadOptimizerSettings(section, kDefaultDecay));
}

}  // namespace

Optimizer::Optimizer(std::span<const NamedTensor> parameters, const OptimizerSettings& settings)
    : parameters_(parameters.begin(), parameters.end()),
      groups_(MakeGroups(parameters, settings)),
      learning_rate_(settings.learning_rate),
      clip_norm_(settings.clip_norm),
      rate_(settings.learning_rate) {
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

void Optimizer::Step(const at::Tensor& found_inf) {
  const c10::NoGradGuard no_grad;
  if (clip_norm_ > 0 && !parameters_.empty()) ClipNorm(AllGradients(parameters_), clip_norm_);
  Update(found_inf.defined() ? std::optional(found_inf) : std::nullopt);
}

void Optimizer::ZeroGradients() { at::_foreach_zero_(AllGradients(parameters_)); }

std::vector<at::Tensor> Optimizer::Gradients(const ParameterGroup& group) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(group.parameters.size());
  for (const at::Tensor& parameter : group.parameters) {
    MILLRACE_CHECK(parameter.grad().defined() && SameLayout(parameter, parameter.grad()));
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

void Optimizer::LoadState(std::span<const NamedTensor> saved) {
  const std::vector<NamedTensor> state = StateTensors();
  const StateMismatch mismatch = CompareStates(state, saved);
  if (!mismatch.empty()) {
    Fail("the optimizer's state is another optimizer's or another network's: {}", mismatch.Text());
  }
  CopyState(state, saved);
}

OptimizerSettings ReadOptimizerSettings(const Params& section, double default_weight_decay) {
  OptimizerSettings settings;
  settings.learning_rate = section.NumberIn("lr", 0, kMax);
  settings.weight_decay = section.NumberIn("weight_decay", 0, kMax, default_weight_decay);
  settings.decay_norm_and_bias = section.Flag("decay_norm_and_bias", true);
  settings.clip_norm = section.NumberIn("clip_norm", 0, kMax, 0.0);
  if (!settings.decay_norm_and_bias && settings.weight_decay == 0) {
    section.Blame("decay_norm_and_bias", "has no effect without weight_decay");
  }
  return settings;
}

Table<OptimizerMaker> BuiltInOptimizers() {
  return {{"sgd", &MakeWithSettings<&MakeSgd, kNoDecay>},
          {"adamw", &MakeWithSettings<&MakeAdamW, kSomeDecay>},
          {"lars", &MakeWithSettings<&MakeLars, kNoDecay>},
          {"lamb", &MakeWithSettings<&MakeLamb, kSomeDecay>}};
}

std::unique_ptr<Optimizer> MakeOptimizer(const Params& section,
                                         std::span<const NamedTensor> parameters,
                                         const Components& known) {
  return known.optimizers.Choose(section, "name")(section, parameters);
}

}  // namespace millrace::model
