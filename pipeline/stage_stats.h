// How long each stage took, how often, and whether it ran while a train step was running: what the
// profiler, the progress line and the tests of overlap read.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace millrace::pipeline {

// The nodes of the graph in flow order. A stage has this one name everywhere.
enum class Stage : std::uint8_t {
  kPlan,
  kRead,
  kDecode,
  kAugment,
  kCollate,
  kSequence,
  kCopy,
  kTrainStep
};
inline constexpr std::size_t kNumStages = 8;
std::string_view StageName(Stage stage);

// One stage's figures at one moment.
struct StageFigures {
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;  // of these calls: what they threw ended the run
  std::uint64_t overlapped_calls =
      0;               // begun or ended while a train step of an earlier batch was running
  double total_s = 0;  // summed service time of all threads [s]
  double mean_ms = 0;  // [ms]
  double p50_ms = 0;   // [ms], within 6 % (histogram buckets)
  double p90_ms = 0;
  double p99_ms = 0;
};

// Counters of all stages. Any thread may record at any time; reading is approximate while others
// record. Recording costs a few relaxed atomic additions and two clock reads.
class StageStats {
 public:
  // Records one call of a stage from construction to destruction.
  class Timer {
   public:
    Timer(StageStats& stats, Stage stage)
        : stats_(stats), stage_(stage), overlapped_(stats.StepRunning()), begin_ns_(NowNs()) {}
    ~Timer() { stats_.Record(stage_, NowNs() - begin_ns_, overlapped_ || stats_.StepRunning()); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

   private:
    StageStats& stats_;
    Stage stage_;
    bool overlapped_;
    std::int64_t begin_ns_;
  };

  void Record(Stage stage, std::int64_t duration_ns, bool overlapped);

  // The call that is being recorded failed.
  void RecordFailure(Stage stage) {
    stages_[static_cast<std::size_t>(stage)].failures.fetch_add(1, std::memory_order_relaxed);
  }

  // Marks a train step as running; brackets it.
  void StepBegins() { steps_running_.fetch_add(1, std::memory_order_relaxed); }
  void StepEnds() { steps_running_.fetch_sub(1, std::memory_order_relaxed); }
  bool StepRunning() const { return steps_running_.load(std::memory_order_relaxed) > 0; }

  // A lane had nothing to do for so long because its next batch was not ready.
  void RecordDataWait(std::int64_t duration_ns) {
    data_wait_ns_.fetch_add(duration_ns, std::memory_order_relaxed);
  }
  // Summed over lanes [s].
  double DataWaitSeconds() const {
    return NsToSeconds(data_wait_ns_.load(std::memory_order_relaxed));
  }

  StageFigures Figures(Stage stage) const;

  // What samples have spent in their stages so far, summed over workers [ns].
  std::int64_t SampleStagesNs() const;

 private:
  // Eight per doubling, equally wide, from 1 ns to 2^40 ns (18 minutes).
  static constexpr std::size_t kBucketsPerDoubling = 8;
  static constexpr std::size_t kNumBuckets = 40 * kBucketsPerDoubling;

  static std::size_t BucketOf(std::int64_t duration_ns);
  static double ValueOf(std::size_t bucket);  // [ns]

  // Stages run side by side: none waits for a cache line that another one writes.
  struct alignas(64) Counters {
    std::atomic<std::uint64_t> failures{0};
    std::atomic<std::uint64_t> overlapped_calls{0};
    std::atomic<std::int64_t> total_ns{0};
    std::array<std::atomic<std::uint32_t>, kNumBuckets> buckets{};  // calls by duration
  };

  std::array<Counters, kNumStages> stages_;
  std::atomic<int> steps_running_{0};
  std::atomic<std::int64_t> data_wait_ns_{0};
};

}  // namespace millrace::pipeline
