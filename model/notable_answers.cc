#include "model/notable_answers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace millrace::model {
namespace {

constexpr std::size_t kNumbersOfAnswer = 8;

// A NaN as if it were infinite.
float Hardness(const Answer& answer) {
  return std::isnan(answer.loss) ? std::numeric_limits<float>::infinity() : answer.loss;
}

bool Harder(const Answer& a, const Answer& b) {
  if (a.first < 0 || b.first < 0) {
    return (a.first < 0) != (b.first < 0) ? a.first < 0 : a.sample < b.sample;
  }
  if (Hardness(a) != Hardness(b)) return Hardness(a) > Hardness(b);
  return a.sample < b.sample;
}

// Without an answer nothing is confused.
float Distance(const Answer& answer) {
  return answer.second < 0 ? std::numeric_limits<float>::infinity()
                           : answer.first_probability - answer.second_probability;
}

bool MoreConfused(const Answer& a, const Answer& b) {
  if (Distance(a) != Distance(b)) return Distance(a) < Distance(b);
  return a.sample < b.sample;
}

bool EarlierSample(const Answer& a, const Answer& b) { return a.sample < b.sample; }

template <typename Before>
void Insert(const Answer& answer, std::size_t most, Before before, std::vector<Answer>& list) {
  if (list.size() == most) {
    if (most == 0 || !before(answer, list.back())) return;
    list.pop_back();
  }
  list.insert(std::upper_bound(list.begin(), list.end(), answer, before), answer);
}

// `logits` and `probabilities` of all classes.
Answer Judge(std::uint64_t id, std::span<const float> logits, const float* probabilities,
             std::int64_t label, float loss) {
  Answer answer{.sample = id, .label = label, .loss = loss};
  // Softmax spreads a NaN over all classes.
  if (std::isnan(probabilities[0])) return answer;
  answer.first = 0;
  for (std::size_t i = 1; i < logits.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    if (logits[i] > logits[static_cast<std::size_t>(answer.first)]) {
      answer.second = answer.first;
      answer.first = at;
    } else if (answer.second < 0 || logits[i] > logits[static_cast<std::size_t>(answer.second)]) {
      answer.second = at;
    }
  }
  answer.label_probability = probabilities[label];
  answer.first_probability = probabilities[answer.first];
  if (answer.second >= 0) answer.second_probability = probabilities[answer.second];
  return answer;
}

std::int64_t BitsOf(float value) {
  return static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(value));
}

float FromBits(std::int64_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }

void Append(const Answer& answer, std::vector<std::int64_t>& numbers) {
  for (const std::int64_t number :
       {static_cast<std::int64_t>(answer.sample), answer.label, answer.first, answer.second,
        BitsOf(answer.label_probability), BitsOf(answer.first_probability),
        BitsOf(answer.second_probability), BitsOf(answer.loss)}) {
    numbers.push_back(number);
  }
}

Answer Parse(std::span<const std::int64_t> numbers) {
  return {.sample = static_cast<std::uint64_t>(numbers[0]),
          .label = numbers[1],
          .first = numbers[2],
          .second = numbers[3],
          .label_probability = FromBits(numbers[4]),
          .first_probability = FromBits(numbers[5]),
          .second_probability = FromBits(numbers[6]),
          .loss = FromBits(numbers[7])};
}

}  // namespace

NotableAnswers::NotableAnswers(std::uint32_t of_each_kind, std::uint64_t samples)
    : of_each_kind_(static_cast<std::uint32_t>(std::min<std::uint64_t>(of_each_kind, samples))),
      samples_(samples) {}

// The middles of as many equal parts of the split.
bool NotableAnswers::IsChosen(std::uint64_t id) const {
  if (of_each_kind_ == 0 || id >= samples_) return false;
  const std::uint64_t part = id * of_each_kind_ / samples_;
  const auto middle = [this](std::uint64_t of) {
    return (2 * of + 1) * samples_ / (2 * std::uint64_t{of_each_kind_});
  };
  return id == middle(part) || id == middle(part + 1);
}

void NotableAnswers::Add(std::span<const std::uint64_t> ids, const at::Tensor& logits,
                         const at::Tensor& probabilities, const at::Tensor& labels,
                         const at::Tensor& losses) {
  if (of_each_kind_ == 0) return;
  MILLRACE_CHECK(probabilities.size(0) == static_cast<std::int64_t>(ids.size()));
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  const std::size_t most = of_each_kind_;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Answer answer =
        Judge(ids[i], {logits.const_data_ptr<float>() + i * classes, classes},
              probabilities.const_data_ptr<float>() + i * classes,
              labels.const_data_ptr<std::int64_t>()[i], losses.const_data_ptr<float>()[i]);
    if (IsChosen(answer.sample)) Insert(answer, most, EarlierSample, chosen_);
    Insert(answer, most, Harder, hardest_);
    if (answer.second >= 0) Insert(answer, most, MoreConfused, most_confused_);
  }
}

void NotableAnswers::Merge(const NotableAnswers& other) {
  MILLRACE_CHECK(of_each_kind_ == other.of_each_kind_ && samples_ == other.samples_);
  for (const Answer& answer : other.chosen_) Insert(answer, of_each_kind_, EarlierSample, chosen_);
  for (const Answer& answer : other.hardest_) Insert(answer, of_each_kind_, Harder, hardest_);
  for (const Answer& answer : other.most_confused_) {
    Insert(answer, of_each_kind_, MoreConfused, most_confused_);
  }
}

std::vector<std::int64_t> NotableAnswers::ToNumbers() const {
  std::vector<std::int64_t> numbers;
  for (const auto* list : {&chosen_, &hardest_, &most_confused_}) {
    numbers.push_back(static_cast<std::int64_t>(list->size()));
    for (const Answer& answer : *list) Append(answer, numbers);
    for (std::size_t i = list->size(); i < of_each_kind_; ++i) Append({}, numbers);
  }
  return numbers;
}

void NotableAnswers::MergeNumbers(std::span<const std::int64_t> numbers) {
  NotableAnswers other(of_each_kind_, samples_);
  MILLRACE_CHECK(numbers.size() == 3 * (1 + of_each_kind_ * kNumbersOfAnswer));
  for (auto* list : {&other.chosen_, &other.hardest_, &other.most_confused_}) {
    for (std::int64_t i = 0; i < numbers[0]; ++i) {
      list->push_back(Parse(numbers.subspan(1 + static_cast<std::size_t>(i) * kNumbersOfAnswer)));
    }
    numbers = numbers.subspan(1 + of_each_kind_ * kNumbersOfAnswer);
  }
  Merge(other);
}

}  // namespace millrace::model
