// How far ahead of the plan records are asked from the disk, found out while the graph runs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "pipeline/batch_plan.h"
#include "stages/batch.h"

namespace millrace::pipeline {

// Reads so far, and how many of them had to wait for the disk.
struct ReadCounts {
  std::uint64_t total = 0;
  std::uint64_t late = 0;
};

// Why the read-ahead is deeper than before.
struct DeeperReadAhead {
  std::uint32_t before = 0;  // [batches]
  std::uint32_t now = 0;     // [batches]
  double late_share = 0;     // of the last reads, 0 to 1
};

struct ReadAheadOptions {
  std::uint32_t batches = 0;  // beyond the one that is planned, at the beginning
  // So deep where reads come late; not more than `batches`: it stays as it is.
  std::uint32_t most_batches = 0;
  std::function<void(const stages::Batch&)> ask;  // asks the disk for a batch's records
  std::function<ReadCounts()> reads;
  std::function<void(const DeeperReadAhead&)> on_deeper = {};
};

// A plan of which the disk hears earlier than the graph. Records are asked for when their batch is
// planned, slots ahead of its step: enough for a disk in the machine. A disk behind a network
// delivers as fast, but each record later; by Little's law as many requests must be on their way as
// come back in the time of one. So the depth is doubled while reads come late. One thread at a
// time.
class ReadAhead {
 public:
  ReadAhead(const BatchPlan& plan, ReadAheadOptions options);

  // The plan's next batch. Never another one, however deep the read-ahead is.
  std::optional<stages::Batch> Next();

 private:
  void LookAtReads();

  ReadAheadOptions options_;
  BatchPlan plan_;
  BatchPlan scout_;               // the same, ahead
  std::uint64_t planned_ = 0;     // batches
  std::uint64_t asked_for_ = 0;   // batches
  std::uint64_t batch_size_ = 0;  // [samples] of the last one
  std::uint64_t ignored_reads_;   // before these nothing is looked at
  ReadCounts from_;               // where the reads begin that are looked at
};

}  // namespace millrace::pipeline
