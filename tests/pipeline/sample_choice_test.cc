#include "pipeline/sample_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace millrace::pipeline {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

storage::RecordView Record(std::uint32_t label, std::uint32_t repairs = 0) {
  storage::RecordView record;
  record.label = label;
  record.repairs = repairs;
  return record;
}

// A split whose record `id` has the label id % classes.
SampleChoice Choose(std::uint64_t records, std::uint32_t classes) {
  SampleChoice choice(records, classes);
  for (std::uint64_t id = 0; id < records; ++id) {
    choice.Add(id, Record(static_cast<std::uint32_t>(id % classes)));
  }
  return choice;
}

std::map<std::uint32_t, std::set<std::uint64_t>> IdsByLabel(
    const std::vector<ChosenSample>& samples) {
  std::map<std::uint32_t, std::set<std::uint64_t>> ids;
  for (const auto& sample : samples) EXPECT_TRUE(ids[sample.label].insert(sample.id).second);
  return ids;
}

TEST(SampleChoice, FewClassesHaveSeveralEach) {
  const auto ids = IdsByLabel(Choose(1000, 3).OfClasses());
  ASSERT_THAT(ids, SizeIs(3));
  for (const auto& [label, of_label] : ids) {
    EXPECT_THAT(of_label, SizeIs(SampleChoice::kMostOfClass));
    for (const std::uint64_t id : of_label) EXPECT_EQ(id % 3, label);
    // Not simply the first ones.
    EXPECT_GT(*of_label.rbegin(), 100u);
  }
}

TEST(SampleChoice, MoreClassesShareWhatThereIs) {
  const auto ids = IdsByLabel(Choose(1000, 100).OfClasses());
  ASSERT_THAT(ids, SizeIs(100));
  for (const auto& [label, of_label] : ids) EXPECT_THAT(of_label, SizeIs(2)) << label;
}

TEST(SampleChoice, OfMoreClassesThanPicturesSomeHaveOne) {
  const auto samples = Choose(3000, 1000).OfClasses();
  EXPECT_THAT(samples, SizeIs(SampleChoice::kMostOfClasses));
  EXPECT_THAT(IdsByLabel(samples), SizeIs(SampleChoice::kMostOfClasses));
  EXPECT_TRUE(std::is_sorted(samples.begin(), samples.end(),
                             [](const auto& a, const auto& b) { return a.label < b.label; }));
  EXPECT_GT(samples.back().label, 800u);
}

TEST(SampleChoice, EveryClassHasItsFirstBeforeAnyHasASecond) {
  SampleChoice choice(20, 4);
  for (std::uint64_t id = 0; id < 20; ++id) choice.Add(id, Record(id < 17 ? 2 : id == 17 ? 0 : 3));
  const auto samples = choice.OfClasses();
  ASSERT_THAT(samples, SizeIs(1 + SampleChoice::kMostOfClass + 2));
  std::vector<std::uint32_t> labels;
  for (const auto& sample : samples) labels.push_back(sample.label);
  labels.resize(6);
  EXPECT_THAT(labels, ElementsAre(0, 2, 3, 2, 3, 2));
}

TEST(SampleChoice, OrderOfReadingDoesNotMatter) {
  SampleChoice forwards(500, 7);
  SampleChoice backwards(500, 7);
  const auto record = [](std::uint64_t id) {
    return Record(static_cast<std::uint32_t>(id % 7), id % 3 == 0 ? storage::kCmyk : 0u);
  };
  for (std::uint64_t id = 0; id < 500; ++id) {
    forwards.Add(id, record(id));
    backwards.Add(499 - id, record(499 - id));
  }
  EXPECT_EQ(forwards.OfClasses(), backwards.OfClasses());
  EXPECT_EQ(forwards.WithRepair(storage::kCmyk), backwards.WithRepair(storage::kCmyk));
}

TEST(SampleChoice, SplitWithoutRecordsHasNone) {
  const SampleChoice choice(0, 3);
  EXPECT_THAT(choice.OfClasses(), IsEmpty());
  EXPECT_THAT(choice.WithRepair(storage::kCmyk), IsEmpty());
}

TEST(SampleChoice, EveryRepairHasSamplesOfItsOwn) {
  SampleChoice choice(1000, 1);
  for (std::uint64_t id = 0; id < 1000; ++id) {
    std::uint32_t repairs = storage::kTrailingBytes;
    if (id == 17 || id == 900) repairs |= storage::kCmyk;
    if (id == 3) repairs = 0;
    if (id == 500) repairs = 1u << 31;  // known to later programs
    choice.Add(id, Record(0, repairs));
  }
  EXPECT_EQ(IdsByLabel(choice.WithRepair(storage::kCmyk))[0], (std::set<std::uint64_t>{17, 900}));
  EXPECT_THAT(choice.WithRepair(storage::kTruncated), IsEmpty());
  const auto& trailing = choice.WithRepair(storage::kTrailingBytes);
  EXPECT_TRUE(std::is_sorted(trailing.begin(), trailing.end()));
  const auto ids = IdsByLabel(trailing)[0];
  EXPECT_THAT(ids, SizeIs(SampleChoice::kMostOfRepair));
  EXPECT_FALSE(ids.contains(3) || ids.contains(500));
}

}  // namespace
}  // namespace millrace::pipeline
