// How a classifier did by other labels than its dataset's: several may be right for a sample, or
// none be known.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace millrace::model {

// The right classes of each sample, by its id; none: it is left out.
using OtherLabels = std::vector<std::vector<std::int64_t>>;

// Whole numbers, so that any split of the samples added in any order gives the same. One thread at
// a time.
//
// A sample counts for top-1 when the answer is one of its labels, as L. Beyer et al., "Are we done
// with ImageNet?" (arXiv:2006.07159), count, and for top-5 when one of the five first answers is,
// as timm does. Ties and NaN as in ClassificationCounts.
struct OtherLabelCounts {
  std::int64_t samples = 0;  // that have labels
  std::int64_t left_out = 0;
  std::int64_t top1 = 0;
  std::int64_t top5 = 0;
  // Of the same samples: right by the dataset's label, and whose dataset's label is among the
  // others.
  std::int64_t own_top1 = 0;
  std::int64_t own_top5 = 0;
  std::int64_t own_among = 0;

  // Adds a batch: ids [N], logits float [N, C] and the dataset's labels int64 [N], contiguous on
  // the CPU. REQUIRES: all ids and labels exist
  void Add(const OtherLabels& labels, std::span<const std::uint64_t> ids, const at::Tensor& logits,
           const at::Tensor& own);

  // All of it as numbers, always as many, and their addition, for their way to another process.
  std::vector<std::int64_t> ToNumbers() const;
  // REQUIRES: `numbers` are those of ToNumbers()
  void MergeNumbers(std::span<const std::int64_t> numbers);

  bool operator==(const OtherLabelCounts&) const = default;
};

}  // namespace millrace::model
