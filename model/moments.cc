#include "model/moments.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace millrace::model {

Betas ReadBetas(const Params& section) {
  const Betas defaults;
  const std::vector<double> betas =
      section.Numbers("betas", std::vector{defaults.gradient, defaults.square});
  const auto is_share = [](double beta) { return beta >= 0 && beta < 1; };
  if (betas.size() != 2 || !std::ranges::all_of(betas, is_share)) {
    section.Blame("betas", "must be two numbers from 0 to below 1");
  }
  return {.gradient = betas[0], .square = betas[1]};
}

Moments::Moments(std::span<const ParameterGroup> groups) {
  auto options = at::TensorOptions(at::kFloat);
  if (!groups.empty()) options = options.device(groups.front().parameters.front().device());
  step = at::zeros({}, options);
  for (const ParameterGroup& group : groups) {
    OfGroup& zeros = of_groups.emplace_back();
    for (const at::Tensor& parameter : group.parameters) {
      zeros.means.push_back(at::zeros_like(parameter));
      zeros.squares.push_back(at::zeros_like(parameter));
    }
  }
}

std::vector<NamedTensor> Moments::StateTensors(std::span<const ParameterGroup> groups) const {
  std::vector<NamedTensor> state = {{"step", step}};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t k = 0; k < groups[i].names.size(); ++k) {
      state.push_back({groups[i].names[k] + ".exp_avg", of_groups[i].means[k]});
      state.push_back({groups[i].names[k] + ".exp_avg_sq", of_groups[i].squares[k]});
    }
  }
  return state;
}

}  // namespace millrace::model
