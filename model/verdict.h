// What a classifier's numbers for one sample say of a label.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace millrace::model {

struct Verdict {
  // The classes whose logit is greater than the label's, or equal with a smaller index: top-1 is
  // rank 0, top-5 a rank below 5.
  std::int64_t rank = 0;
  std::int64_t answer = 0;  // the class with the greatest logit, the first among equals
};

// Of one sample's logits [C]; nothing where there is a NaN among them. REQUIRES: 0 <= label < C
inline std::optional<Verdict> Judge(std::span<const float> logits, std::int64_t label) {
  if (std::any_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); })) return {};
  const float wanted = logits[static_cast<std::size_t>(label)];
  Verdict verdict;
  float highest = logits[0];
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    if (logits[i] > highest) {
      highest = logits[i];
      verdict.answer = index;
    }
    verdict.rank += logits[i] > wanted || (logits[i] == wanted && index < label) ? 1 : 0;
  }
  return verdict;
}

}  // namespace millrace::model
