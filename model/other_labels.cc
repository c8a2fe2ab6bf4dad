#include "model/other_labels.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"
#include "model/verdict.h"

namespace millrace::model {
namespace {

constexpr std::array kNumbers = {&OtherLabelCounts::samples,  &OtherLabelCounts::left_out,
                                 &OtherLabelCounts::top1,     &OtherLabelCounts::top5,
                                 &OtherLabelCounts::own_top1, &OtherLabelCounts::own_top5,
                                 &OtherLabelCounts::own_among};

// Behind all classes where there is no answer.
std::int64_t RankOf(std::span<const float> logits, std::int64_t label) {
  const auto verdict = Judge(logits, label);
  return verdict ? verdict->rank : std::numeric_limits<std::int64_t>::max();
}

}  // namespace

void OtherLabelCounts::Add(const OtherLabels& labels, std::span<const std::uint64_t> ids,
                           const at::Tensor& logits, const at::Tensor& own) {
  const auto classes = static_cast<std::size_t>(logits.size(1));
  const std::span all_logits(logits.const_data_ptr<float>(), ids.size() * classes);
  const std::span all_own(own.const_data_ptr<std::int64_t>(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::vector<std::int64_t>& right = labels.at(ids[i]);
    if (right.empty()) {
      ++left_out;
      continue;
    }
    const auto row = all_logits.subspan(i * classes, classes);
    std::int64_t rank = std::numeric_limits<std::int64_t>::max();
    for (const std::int64_t label : right) rank = std::min(rank, RankOf(row, label));
    const std::int64_t own_rank = RankOf(row, all_own[i]);
    ++samples;
    top1 += rank < 1 ? 1 : 0;
    top5 += rank < 5 ? 1 : 0;
    own_top1 += own_rank < 1 ? 1 : 0;
    own_top5 += own_rank < 5 ? 1 : 0;
    own_among += std::find(right.begin(), right.end(), all_own[i]) != right.end() ? 1 : 0;
  }
}

std::vector<std::int64_t> OtherLabelCounts::ToNumbers() const {
  std::vector<std::int64_t> numbers;
  for (const auto number : kNumbers) numbers.push_back(this->*number);
  return numbers;
}

void OtherLabelCounts::MergeNumbers(std::span<const std::int64_t> numbers) {
  MILLRACE_CHECK(numbers.size() == kNumbers.size());
  for (std::size_t i = 0; i < kNumbers.size(); ++i) this->*kNumbers[i] += numbers[i];
}

}  // namespace millrace::model
