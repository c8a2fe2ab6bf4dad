#include "model/lamb.h"

#include <ATen/ATen.h>

#include <cmath>

#include "model/moments.h"
#include "model/trust_ratio.h"

namespace millrace::model {
namespace {

struct LambSettings {
  Betas betas;
  double epsilon = 1e-6;
  bool trust_clip = false;
};

class Lamb final : public Optimizer {
 public:
  Lamb(std::span<const NamedTensor> parameters, const OptimizerSettings& common,
       const LambSettings& settings)
      : Optimizer(parameters, common), settings_(settings), moments_(groups()) {}

  std::vector<NamedTensor> StateTensors() const override { return moments_.StateTensors(groups()); }

 private:
  void Update(const std::optional<at::Tensor>& found_inf) override {
    if (!found_inf) {
      UpdateAlways();
      return;
    }
    // Only the device knows whether the update counts.
    std::vector<at::Tensor> changed;
    for (const NamedTensor& entry : StateTensors()) changed.push_back(entry.tensor);
    for (const NamedTensor& entry : parameters()) changed.push_back(entry.tensor);
    std::vector<at::Tensor> before;
    for (const at::Tensor& tensor : changed) before.push_back(tensor.detach().clone());
    UpdateAlways();
    const at::Tensor undo = *found_inf != 0;
    for (std::size_t i = 0; i < changed.size(); ++i) {
      at::where_out(changed[i], undo, before[i], changed[i]);
    }
  }

  void UpdateAlways() {
    moments_.step.add_(1);
    const at::Tensor mean_share = GatheredShare(settings_.betas.gradient).to(at::kFloat);
    const at::Tensor root_share = GatheredShare(settings_.betas.square).sqrt().to(at::kFloat);
    for (std::size_t i = 0; i < groups().size(); ++i) {
      const ParameterGroup& group = groups()[i];
      const std::vector<at::Tensor> gradients = Gradients(group);
      Moments::OfGroup& moments = moments_.of_groups[i];
      at::_foreach_lerp_(moments.means, gradients, 1 - settings_.betas.gradient);
      at::_foreach_mul_(moments.squares, settings_.betas.square);
      at::_foreach_addcmul_(moments.squares, gradients, gradients, 1 - settings_.betas.square);

      std::vector<at::Tensor> roots = at::_foreach_sqrt(moments.squares);
      at::_foreach_div_(roots, root_share);
      at::_foreach_add_(roots, settings_.epsilon);
      std::vector<at::Tensor> updates = at::_foreach_div(moments.means, mean_share);
      at::_foreach_div_(updates, roots);
      if (group.weight_decay != 0) {
        at::_foreach_add_(updates, group.parameters, group.weight_decay);
        at::_foreach_mul_(updates, TrustRatios(group.parameters, updates).unbind());
      }
      WithRate([&](const auto& rate) { at::_foreach_mul_(updates, rate); });
      at::_foreach_sub_(group.parameters, updates);
    }
  }

  // How much of a running mean is no longer the zero that it began with: 1 - beta^step, in double
  // because it is a difference of nearly equal numbers at first.
  at::Tensor GatheredShare(double beta) const {
    return -at::expm1(moments_.step.to(at::kDouble) * std::log(beta));
  }

  at::Tensor TrustRatios(const std::vector<at::Tensor>& weights,
                         const std::vector<at::Tensor>& updates) const {
    const at::Tensor weight_norms = Norms(weights);
    const at::Tensor update_norms = Norms(updates);
    const at::Tensor ratios = OneWhereZero(weight_norms / update_norms, weight_norms, update_norms);
    return settings_.trust_clip ? ratios.clamp_max(1.0) : ratios;
  }

  LambSettings settings_;
  Moments moments_;
};

}  // namespace

std::unique_ptr<Optimizer> MakeLamb(const Params& section, std::span<const NamedTensor> parameters,
                                    const OptimizerSettings& common) {
  if (common.weight_decay == 0) {
    section.Blame("weight_decay", "must be above 0 for lamb, which without it scales nothing");
  }
  return std::make_unique<Lamb>(parameters, common,
                                LambSettings{.betas = ReadBetas(section),
                                             .epsilon = section.NumberIn("eps", 0, 1, 1e-6),
                                             .trust_clip = section.Flag("trust_clip", false)});
}

}  // namespace millrace::model
