// Which samples of a split people are shown: a few of every class, and of those that were repaired
// at conversion.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/permutation.h"
#include "storage/record_view.h"

namespace millrace::pipeline {

struct ChosenSample {
  std::uint64_t rank = 0;  // place in a fixed permutation of the split; the lowest are chosen
  std::uint64_t id = 0;
  std::uint32_t label = 0;

  auto operator<=>(const ChosenSample&) const = default;
};

// Chooses in one pass over a split, in whatever order. The choice is a pure function of what was
// added. Memory: a few hundred bytes per class. One thread at a time.
class SampleChoice {
 public:
  static constexpr std::size_t kMostOfClasses = 240;  // in all
  static constexpr std::size_t kMostOfClass = 8;
  static constexpr std::size_t kMostOfRepair = 24;  // of each kind

  // REQUIRES: ids below `records` and labels below `classes` are added
  SampleChoice(std::uint64_t records, std::size_t classes);

  void Add(std::uint64_t id, const storage::RecordView& record);

  // So many of each class as kMostOfClasses allows, one at least; with more classes than that, of
  // so many classes. The first of each class by label, then the second ones, and so on.
  std::vector<ChosenSample> OfClasses() const;
  // With this bit of Repair, by rank.
  const std::vector<ChosenSample>& WithRepair(storage::Repair repair) const;

 private:
  Permutation permutation_;
  std::size_t most_of_class_;
  std::vector<std::vector<ChosenSample>> of_class_;   // by label; each by rank
  std::vector<std::vector<ChosenSample>> of_repair_;  // by number of the bit; each by rank
};

}  // namespace millrace::pipeline
