#include "model/classification_counts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/error.h"
#include "model/verdict.h"

namespace millrace::model {
namespace {

at::Tensor ToCpu(const at::Tensor& tensor, at::ScalarType type) {
  return tensor.detach().to(at::kCPU, type).contiguous();
}

}  // namespace

ClassificationCounts::ClassificationCounts(std::int64_t classes)
    : classes_(classes),
      class_samples_(Index(classes), 0),
      confusion_(Index(classes * classes), 0) {
  MILLRACE_CHECK(classes >= 1);
}

void ClassificationCounts::Add(const at::Tensor& logits, const at::Tensor& labels,
                               const at::Tensor& losses) {
  const at::Tensor scores = ToCpu(logits, at::kFloat);
  const at::Tensor wanted = ToCpu(labels, at::kLong);
  const at::Tensor costs = ToCpu(losses, at::kFloat);
  const std::int64_t count = wanted.numel();
  MILLRACE_CHECK(scores.dim() == 2 && scores.size(0) == count && scores.size(1) == classes_ &&
                 costs.numel() == count);
  const std::span all_labels(wanted.const_data_ptr<std::int64_t>(), Index(count));
  for (const std::int64_t label : all_labels) {
    if (label < 0 || label >= classes_) {
      Fail("a sample is labelled {}, but the network has {} classes", label, classes_);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = all_labels[Index(i)];
    const std::span row(scores.const_data_ptr<float>() + i * classes_, Index(classes_));
    ++samples_;
    ++class_samples_[Index(label)];
    loss_.Add(static_cast<double>(costs.const_data_ptr<float>()[i]));
    const auto verdict = Judge(row, label);
    if (!verdict) {
      ++unanswered_;
      continue;
    }
    top1_ += verdict->rank < 1 ? 1 : 0;
    top5_ += verdict->rank < 5 ? 1 : 0;
    ++confusion_[Index(label * classes_ + verdict->answer)];
  }
}

void ClassificationCounts::Merge(const ClassificationCounts& other) {
  MILLRACE_CHECK(classes_ == other.classes_);
  samples_ += other.samples_;
  top1_ += other.top1_;
  top5_ += other.top5_;
  unanswered_ += other.unanswered_;
  loss_.Merge(other.loss_);
  const auto add = [](std::vector<std::int64_t>& into, const std::vector<std::int64_t>& from) {
    std::transform(into.begin(), into.end(), from.begin(), into.begin(), std::plus<>());
  };
  add(class_samples_, other.class_samples_);
  add(confusion_, other.confusion_);
}

std::vector<std::int64_t> ClassificationCounts::ToNumbers() const {
  std::vector<std::int64_t> numbers{samples_,    top1_,       top5_,
                                    unanswered_, loss_.units, loss_.impossible};
  numbers.insert(numbers.end(), class_samples_.begin(), class_samples_.end());
  numbers.insert(numbers.end(), confusion_.begin(), confusion_.end());
  return numbers;
}

ClassificationCounts ClassificationCounts::FromNumbers(std::int64_t classes,
                                                       const std::vector<std::int64_t>& numbers) {
  ClassificationCounts counts(classes);
  MILLRACE_CHECK(numbers.size() == counts.ToNumbers().size());
  auto next = numbers.begin();
  for (std::int64_t* count : {&counts.samples_, &counts.top1_, &counts.top5_, &counts.unanswered_,
                              &counts.loss_.units, &counts.loss_.impossible}) {
    *count = *next++;
  }
  for (std::vector<std::int64_t>* list : {&counts.class_samples_, &counts.confusion_}) {
    std::copy_n(next, list->size(), list->begin());
    next += static_cast<std::ptrdiff_t>(list->size());
  }
  return counts;
}

std::vector<ClassificationCounts::Mistake> ClassificationCounts::WorstMistakes(
    std::size_t most) const {
  std::vector<Mistake> mistakes;
  for (std::int64_t label = 0; label < classes_; ++label) {
    for (std::int64_t answer = 0; answer < classes_; ++answer) {
      const std::int64_t count = Confusion(label, answer);
      if (label != answer && count > 0) mistakes.push_back({label, answer, count});
    }
  }
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.count > b.count; });
  if (mistakes.size() > most) mistakes.resize(most);
  return mistakes;
}

double ClassificationCounts::Top1Rate() const {
  return samples_ == 0 ? 0 : static_cast<double>(top1_) / static_cast<double>(samples_);
}

double ClassificationCounts::Top5Rate() const {
  return samples_ == 0 ? 0 : static_cast<double>(top5_) / static_cast<double>(samples_);
}

double ClassificationCounts::MeanLoss() const {
  return samples_ == 0 ? 0 : loss_.Value() / static_cast<double>(samples_);
}

}  // namespace millrace::model
