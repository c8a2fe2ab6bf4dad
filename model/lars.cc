#include "model/lars.h"

#include <ATen/ATen.h>

#include <limits>

#include "model/sgd.h"
#include "model/trust_ratio.h"

namespace millrace::model {
namespace {

constexpr double kEpsilon = 1e-8;  // timm's

struct LarsSettings {
  double trust_coefficient = 0.001;
  bool trust_clip = false;
};

class Lars final : public Sgd {
 public:
  Lars(std::span<const NamedTensor> parameters, const OptimizerSettings& common,
       const Settings& momentum, const LarsSettings& settings)
      : Sgd(parameters, common, momentum), settings_(settings) {}

 private:
  Direction DirectionOf(const ParameterGroup& group) const override {
    if (group.weight_decay == 0) return Sgd::DirectionOf(group);
    const std::vector<at::Tensor> gradients = Gradients(group);
    const at::Tensor weight_norms = Norms(group.parameters);
    const at::Tensor gradient_norms = Norms(gradients);
    at::Tensor ratios = settings_.trust_coefficient * weight_norms /
                        (gradient_norms + weight_norms * group.weight_decay + kEpsilon);
    ratios = OneWhereZero(ratios, weight_norms, gradient_norms);
    if (settings_.trust_clip) {
      WithRate([&](const auto& rate) { ratios = (ratios / rate).clamp_max(1.0); });
    }
    // Copies: the gradients themselves are shown in histograms.
    std::vector<at::Tensor> adapted =
        at::_foreach_add(gradients, group.parameters, group.weight_decay);
    at::_foreach_mul_(adapted, ratios.unbind());
    return {.gradients = std::move(adapted), .weight_decay = 0};
  }

  LarsSettings settings_;
};

}  // namespace

std::unique_ptr<Optimizer> MakeLars(const Params& section, std::span<const NamedTensor> parameters,
                                    const OptimizerSettings& common) {
  if (common.weight_decay == 0) {
    section.Blame("weight_decay", "must be above 0 for lars, which without it is sgd");
  }
  LarsSettings settings;
  settings.trust_coefficient =
      section.NumberIn("trust_coefficient", 0, std::numeric_limits<double>::max(), 0.001);
  settings.trust_clip = section.Flag("trust_clip", false);
  return std::make_unique<Lars>(parameters, common, Sgd::ReadSettings(section), settings);
}

}  // namespace millrace::model
