#include "pipeline/read_ahead.h"

#include <algorithm>
#include <utility>

namespace millrace::pipeline {
namespace {

// Reads that are looked at together.
constexpr std::uint64_t kWindow = 512;
// A thread that lost its core makes a read late now and then.
constexpr double kTolerated = 0.125;
constexpr std::uint32_t kFirstDepth = 4;  // [batches]

}  // namespace

ReadAhead::ReadAhead(const BatchPlan& plan, ReadAheadOptions options)
    : options_(std::move(options)),
      plan_(plan),
      scout_(plan),
      // The first batches are needed at once, whatever the disk.
      ignored_reads_(2 * kWindow) {}

std::optional<stages::Batch> ReadAhead::Next() {
  if (options_.most_batches > options_.batches) LookAtReads();
  const auto batch = plan_.Next();
  if (!batch) return batch;
  batch_size_ = batch->size;
  // Those that are planned by now are behind the graph's own requests.
  for (++planned_; asked_for_ < planned_; ++asked_for_) (void)scout_.Next();
  for (; asked_for_ < planned_ + options_.batches; ++asked_for_) {
    const auto later = scout_.Next();
    if (!later) break;
    options_.ask(*later);
  }
  return batch;
}

void ReadAhead::LookAtReads() {
  const ReadCounts now = options_.reads();
  if (now.total < ignored_reads_) from_ = now;
  if (now.total < from_.total + kWindow) return;
  const double late_share =
      static_cast<double>(now.late - from_.late) / static_cast<double>(now.total - from_.total);
  from_ = now;
  if (late_share <= kTolerated) return;
  const std::uint32_t before = options_.batches;
  options_.batches = std::min(options_.most_batches, std::max(2 * before, kFirstDepth));
  // What was asked for until now tells nothing of the new depth.
  ignored_reads_ = now.total + options_.batches * batch_size_;
  if (options_.on_deeper) {
    options_.on_deeper({.before = before, .now = options_.batches, .late_share = late_share});
  }
}

}  // namespace millrace::pipeline
