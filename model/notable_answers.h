// The answers of an evaluation that people want to look at.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace millrace::model {

// What a network says of one sample.
struct Answer {
  std::uint64_t sample = 0;  // its id: the position in the evaluation
  std::int64_t label = 0;
  std::int64_t first = -1;   // the class with the greatest logit (the smallest among equals); -1:
                             // there is a NaN, and so no answer
  std::int64_t second = -1;  // the next one; -1: no answer, or a single class
  float label_probability = 0;
  float first_probability = 0;
  float second_probability = 0;
  float loss = 0;

  bool right() const { return first == label; }
  bool operator==(const Answer&) const = default;
};

// Of three kinds it keeps as many as were asked for. Which ones they are is a function of the
// answers alone: any split of the samples into batches, lanes and ranks, merged in any order, keeps
// the same. One thread at a time.
class NotableAnswers {
 public:
  // `samples`: of the whole evaluation, with ids from 0 on.
  NotableAnswers(std::uint32_t of_each_kind, std::uint64_t samples);

  // Adds a batch: ids [N], logits float [N, C] and what a softmax makes of them, labels int64 [N],
  // losses float [N], all contiguous on the CPU.
  void Add(std::span<const std::uint64_t> ids, const at::Tensor& logits,
           const at::Tensor& probabilities, const at::Tensor& labels, const at::Tensor& losses);

  // REQUIRES: made with the same numbers
  void Merge(const NotableAnswers& other);

  // All that is kept as numbers, always as many, and back again, for their way to another process.
  std::vector<std::int64_t> ToNumbers() const;
  // REQUIRES: `numbers` are ToNumbers() of one made with the same numbers
  void MergeNumbers(std::span<const std::int64_t> numbers);

  // The same samples in every evaluation, spread evenly over all of them; by id.
  const std::vector<Answer>& chosen() const { return chosen_; }
  // With the largest losses, the largest first; no answer comes before all others.
  const std::vector<Answer>& hardest() const { return hardest_; }
  // With the smallest distance between the probabilities of their first and second class.
  const std::vector<Answer>& most_confused() const { return most_confused_; }

 private:
  bool IsChosen(std::uint64_t id) const;

  std::uint32_t of_each_kind_;
  std::uint64_t samples_;
  std::vector<Answer> chosen_;
  std::vector<Answer> hardest_;
  std::vector<Answer> most_confused_;
};

}  // namespace millrace::model
