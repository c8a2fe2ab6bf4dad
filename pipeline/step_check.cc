#include "pipeline/step_check.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>

#include "base/check.h"

namespace millrace::pipeline {
namespace {

constexpr double kLossTolerance = 1e-3;  // of the loss
constexpr double kErrorTolerance = 5e-2;

bool IsCount(const at::Tensor& tensor) { return !tensor.is_floating_point() || tensor.dim() == 0; }

// How far `got` is from `wanted`, tensor by tensor, as a share of what the step changed; the mean
// over all. Shares, because weights, momentum and running statistics change on scales of their own.
double MeanError(const std::vector<at::Tensor>& before, const std::vector<at::Tensor>& wanted,
                 const std::vector<at::Tensor>& got) {
  std::vector<at::Tensor> shares;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (IsCount(got[i])) continue;
    const at::Tensor apart = at::linalg_vector_norm(got[i] - wanted[i]);
    const at::Tensor changed = at::linalg_vector_norm(before[i] - wanted[i]);
    // 0 / 0 where nothing changed, as it should be; what is not a number is as wrong as can be.
    shares.push_back(at::where(apart == 0, at::zeros_like(apart),
                               at::nan_to_num(apart / changed, /*nan=*/1.0).clamp_max(1.0)));
  }
  return shares.empty() ? 0 : at::stack(shares).mean().item<double>();
}

}  // namespace

std::string CompareSteps(const std::vector<at::Tensor>& before, const StepOutcome& wanted,
                         const StepOutcome& got, bool exact) {
  MILLRACE_CHECK(before.size() == wanted.state.size() && before.size() == got.state.size());
  const c10::NoGradGuard no_grad;
  const double apart = std::abs(got.loss - wanted.loss);
  if (!(apart <= (exact ? 0 : kLossTolerance * std::abs(wanted.loss)))) {
    return fmt::format("its loss is {} instead of {}", got.loss, wanted.loss);
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    if ((exact || IsCount(got.state[i])) && !at::equal(got.state[i], wanted.state[i])) {
      return exact ? "its weights differ, and the run is to be deterministic"
                   : "it counts otherwise";
    }
  }
  if (exact) return "";
  const double error = MeanError(before, wanted.state, got.state);
  if (error <= kErrorTolerance) return "";
  return fmt::format("its changes are {:.0f} % off", 100 * error);
}

}  // namespace millrace::pipeline
