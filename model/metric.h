// A number of an evaluation beside top-1, top-5 and the loss, as the recipe's [evaluation] section
// names it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/params.h"
#include "model/components.h"

namespace millrace::model {

// What samples add up to, and what follows from the sums: so that a metric is the same over however
// many batches, lanes and processes the samples were spread. Stateless; any thread.
class Metric {
 public:
  virtual ~Metric() = default;

  // How many sums it needs: K >= 1.
  virtual std::int64_t num_sums() const { return 1; }
  // What each sample adds to each sum, double [N, K] on the CPU, for logits float [N, C] and labels
  // int64 [N] on the CPU. It depends on that sample alone. The sums are ExactSums.
  virtual at::Tensor OfSamples(const at::Tensor& logits, const at::Tensor& labels) const = 0;
  // From the sums [K] over so many samples, at least one; here the mean of the first.
  virtual double Value(std::span<const double> sums, double samples) const {
    return sums[0] / samples;
  }
};

struct NamedMetric {
  std::string name;
  std::unique_ptr<const Metric> metric;
};
using Metrics = std::vector<NamedMetric>;

// Those of `[evaluation] metrics = [{ metric = "<kind>", name = "<its name>", ... }]`, where `name`
// is the kind unless given. Kinds here, for classes by their greatest logit (of equal ones the one
// with the smallest index; none where one is NaN):
//   mean_class_accuracy: top-1 of each class that has samples, averaged over these
//   macro_f1: 2 * right / (samples + answers) of each class that has either, averaged over these
//   brier_score: the mean of sum((probability - truth)^2) over classes (G. W. Brier 1950)
//   calibration_error: the expected one, of `bins` (15) equal ones of the answer's probability
//     (arXiv:1706.04599)
// Throws Error (exit code 2) for a wrong setting and for two of one name. REQUIRES: classes >= 1
Metrics MakeMetrics(const Params& section, std::int64_t classes,
                    const Components& known = BuiltInComponents());

Table<MetricMaker> BuiltInMetrics();

}  // namespace millrace::model
