#include "pipeline/weight_histograms.h"

#include <algorithm>
#include <string>
#include <utility>

#include "model/value_histogram.h"

namespace millrace::pipeline {
namespace {

void Tell(const at::Tensor& values, std::string tag, std::uint64_t step, tracking::RunLog& log) {
  auto counted = model::CountValues(values);
  if (!counted) return;
  log.Emit(tracking::Histogram{.name = std::move(tag),
                               .step = step,
                               .min = counted->min,
                               .max = counted->max,
                               .sum = counted->sum,
                               .sum_of_squares = counted->sum_of_squares,
                               .limits = std::move(counted->limits),
                               .counts = std::move(counted->counts)});
}

}  // namespace

void TellHistograms(const model::Network& network, std::uint64_t step, bool gradients,
                    tracking::RunLog& log) {
  for (const model::NamedTensor& parameter : network.parameters()) {
    std::string name = parameter.name;
    std::replace(name.begin(), name.end(), '.', '/');
    Tell(parameter.tensor, "weights/" + name, step, log);
    const at::Tensor gradient = parameter.tensor.grad();
    if (gradients && gradient.defined()) Tell(gradient, "grads/" + name, step, log);
  }
}

}  // namespace millrace::pipeline
