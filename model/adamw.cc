#include "model/adamw.h"

#include <ATen/ATen.h>

#include "model/moments.h"

namespace millrace::model {
namespace {

struct AdamWSettings {
  Betas betas;
  double epsilon = 1e-8;
};

class AdamW final : public Optimizer {
 public:
  AdamW(std::span<const NamedTensor> parameters, const OptimizerSettings& common,
        const AdamWSettings& settings)
      : Optimizer(parameters, common), settings_(settings), moments_(groups()) {}

  std::vector<NamedTensor> StateTensors() const override { return moments_.StateTensors(groups()); }

 private:
  void Update(const std::optional<at::Tensor>& found_inf) override {
    moments_.step.add_(1);
    for (std::size_t i = 0; i < groups().size(); ++i) {
      const ParameterGroup& group = groups()[i];
      // The kernels take a count for each parameter, and only read it.
      const std::vector<at::Tensor> steps(group.parameters.size(), moments_.step);
      WithRate([&](const auto& rate) {
        at::_fused_adamw_(group.parameters, Gradients(group), moments_.of_groups[i].means,
                          moments_.of_groups[i].squares, /*max_exp_avg_sqs=*/{}, steps, rate,
                          settings_.betas.gradient, settings_.betas.square, group.weight_decay,
                          settings_.epsilon, /*amsgrad=*/false, /*maximize=*/false,
                          /*grad_scale=*/{}, found_inf);
      });
    }
    if (found_inf) moments_.step.sub_(*found_inf);
  }

  AdamWSettings settings_;
  Moments moments_;
};

}  // namespace

std::unique_ptr<Optimizer> MakeAdamW(const Params& section, std::span<const NamedTensor> parameters,
                                     const OptimizerSettings& common) {
  return std::make_unique<AdamW>(
      parameters, common,
      AdamWSettings{.betas = ReadBetas(section), .epsilon = section.NumberIn("eps", 0, 1, 1e-8)});
}

}  // namespace millrace::model
