#include "pipeline/stage_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace millrace::pipeline {

std::string_view StageName(Stage stage) {
  static constexpr std::array<std::string_view, kNumStages> kNames = {
      "plan", "read", "decode", "augment", "collate", "sequence", "copy", "train_step"};
  return kNames[static_cast<std::size_t>(stage)];
}

void StageStats::Record(Stage stage, std::int64_t duration_ns, bool overlapped) {
  Counters& counters = stages_[static_cast<std::size_t>(stage)];
  if (overlapped) counters.overlapped_calls.fetch_add(1, std::memory_order_relaxed);
  counters.total_ns.fetch_add(duration_ns, std::memory_order_relaxed);
  counters.buckets[BucketOf(duration_ns)].fetch_add(1, std::memory_order_relaxed);
}

std::size_t StageStats::BucketOf(std::int64_t duration_ns) {
  // As in the HDR histogram (Gil Tene, 2012): the highest bit, then the ones behind it.
  const auto ns =
      static_cast<std::uint64_t>(std::clamp<std::int64_t>(duration_ns, 1, (1LL << 40) - 1));
  const auto octave = static_cast<std::size_t>(std::bit_width(ns)) - 1;
  return octave * kBucketsPerDoubling +
         (((ns * kBucketsPerDoubling) >> octave) % kBucketsPerDoubling);
}

double StageStats::ValueOf(std::size_t bucket) {
  const auto edge = [](std::size_t at) {
    return std::ldexp(1.0 + static_cast<double>(at % kBucketsPerDoubling) / kBucketsPerDoubling,
                      static_cast<int>(at / kBucketsPerDoubling));
  };
  // As far from both edges in parts of themselves: at most a seventeenth.
  const double low = edge(bucket);
  const double high = edge(bucket + 1);
  return 2 * low * high / (low + high);
}

StageFigures StageStats::Figures(Stage stage) const {
  const Counters& counters = stages_[static_cast<std::size_t>(stage)];
  std::array<std::uint32_t, kNumBuckets> buckets;
  std::uint64_t calls = 0;
  for (std::size_t i = 0; i < kNumBuckets; ++i) {
    buckets[i] = counters.buckets[i].load(std::memory_order_relaxed);
    calls += buckets[i];
  }
  const auto quantile_ms = [&](double share) {
    const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(calls));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kNumBuckets; ++i) {
      seen += buckets[i];
      if (seen > rank) return ValueOf(i) * 1e-6;
    }
    return 0.0;
  };
  StageFigures figures;
  figures.calls = calls;
  figures.failures = counters.failures.load(std::memory_order_relaxed);
  figures.overlapped_calls = counters.overlapped_calls.load(std::memory_order_relaxed);
  figures.total_s = NsToSeconds(counters.total_ns.load(std::memory_order_relaxed));
  if (calls > 0) {
    figures.mean_ms = figures.total_s * 1e3 / static_cast<double>(calls);
    figures.p50_ms = quantile_ms(0.50);
    figures.p90_ms = quantile_ms(0.90);
    figures.p99_ms = quantile_ms(0.99);
  }
  return figures;
}

std::int64_t StageStats::SampleStagesNs() const {
  std::int64_t sum = 0;
  for (const Stage stage : {Stage::kRead, Stage::kDecode, Stage::kAugment, Stage::kCollate}) {
    sum += stages_[static_cast<std::size_t>(stage)].total_ns.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace millrace::pipeline
