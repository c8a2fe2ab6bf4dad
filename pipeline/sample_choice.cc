#include "pipeline/sample_choice.h"

#include <algorithm>
#include <bit>

namespace millrace::pipeline {
namespace {

constexpr std::uint64_t kSeed = 0;
constexpr std::size_t kRepairBits = 32;

// Puts the sample among the `most` of lowest rank.
void Keep(const ChosenSample& sample, std::size_t most, std::vector<ChosenSample>* kept) {
  if (kept->size() == most && kept->back() < sample) return;
  kept->insert(std::upper_bound(kept->begin(), kept->end(), sample), sample);
  if (kept->size() > most) kept->pop_back();
}

}  // namespace

SampleChoice::SampleChoice(std::uint64_t records, std::size_t classes)
    : permutation_(records, kSeed),
      most_of_class_(std::clamp<std::size_t>(kMostOfClasses / std::max<std::size_t>(classes, 1), 1,
                                             kMostOfClass)),
      of_class_(classes),
      of_repair_(kRepairBits) {}

void SampleChoice::Add(std::uint64_t id, const storage::RecordView& record) {
  const ChosenSample sample{.rank = permutation_(id), .id = id, .label = record.label};
  Keep(sample, most_of_class_, &of_class_[record.label]);
  for (std::uint32_t bits = record.repairs; bits != 0; bits &= bits - 1) {
    const auto bit = static_cast<std::size_t>(std::countr_zero(bits));
    Keep(sample, kMostOfRepair, &of_repair_[bit]);
  }
}

std::vector<ChosenSample> SampleChoice::OfClasses() const {
  std::vector<ChosenSample> chosen;
  for (std::size_t i = 0; i < most_of_class_; ++i) {
    for (const auto& samples : of_class_) {
      if (i < samples.size()) chosen.push_back(samples[i]);
    }
  }
  if (chosen.size() > kMostOfClasses) {
    std::sort(chosen.begin(), chosen.end());
    chosen.resize(kMostOfClasses);
    std::sort(chosen.begin(), chosen.end(),
              [](const auto& a, const auto& b) { return a.label < b.label; });
  }
  return chosen;
}

const std::vector<ChosenSample>& SampleChoice::WithRepair(storage::Repair repair) const {
  return of_repair_[static_cast<std::size_t>(std::countr_zero(std::uint32_t{repair}))];
}

}  // namespace millrace::pipeline
