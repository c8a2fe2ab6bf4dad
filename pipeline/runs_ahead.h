// Runs of neighbouring samples on their way from the disk into memory of their own, past the page
// cache.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "pipeline/sample_order.h"
#include "storage/split_reader.h"

namespace millrace::pipeline {

// Memory of runs that are no longer needed, for the next ones: pages that the kernel need not
// clear.
class RunMemory;

// A run that was asked for. Whoever holds it keeps its memory; any number of threads may.
class RunAhead {
 public:
  RunAhead(SampleRun samples, std::shared_ptr<RunMemory> memory);
  ~RunAhead();
  RunAhead(const RunAhead&) = delete;
  RunAhead& operator=(const RunAhead&) = delete;

  // The sample's bytes as stored, once they are there. Nothing where they could not be read: the
  // page cache then has been asked for them. Blocks. REQUIRES: the sample is of the run
  std::span<const std::byte> BytesOf(std::uint64_t sample_id) const;

 private:
  friend class RunsAhead;
  void Read(const storage::SplitReader& reader) noexcept;
  void GiveUp();

  const SampleRun samples_;
  const std::shared_ptr<RunMemory> memory_;
  std::span<std::byte> bytes_;  // of memory_; by the thread that reads
  std::promise<std::vector<std::span<const std::byte>>> promise_;
  const std::shared_future<std::vector<std::span<const std::byte>>> records_;
};

// Reads runs in the order in which they are asked for, a few at a time, with threads of its own. Of
// windows (sample_order.h) it holds two, the one that is planned and the next one; runs of earlier
// ones last as long as somebody holds them. That is its memory, a run of which takes what its pages
// take on the disk, rounded up to large pages.
//
// Where data does not fit into the page cache, each of its pages of 4 KiB is taken, counted,
// mapped, looked at and taken back for being used once: a fifth of what decoding takes, much of it
// while a batch is planned, one at a time.
//
// One thread at a time. The reader outlives the object; runs need not.
class RunsAhead {
 public:
  explicit RunsAhead(const storage::SplitReader& reader);
  // What is not read yet is given up.
  ~RunsAhead();

  // Begin to read a run of the window that is planned, or of the next one; nothing when the window
  // that is planned has it already, or it was asked for.
  void AskForPlanned(SampleRun run) { Ask(run, planned_); }
  void AskForNext(SampleRun run) { Ask(run, next_); }
  // The next window is planned from now on.
  void NextWindow();
  // The run with the sample. nullptr: it was not asked for.
  std::shared_ptr<const RunAhead> Find(std::uint64_t sample_id) const;

 private:
  using Runs = std::map<std::uint64_t, std::shared_ptr<RunAhead>>;  // by their first sample

  void Ask(SampleRun run, Runs& window);
  void ReadAll(const std::stop_token& stop);

  const storage::SplitReader& reader_;
  const std::shared_ptr<RunMemory> memory_;
  Runs planned_;  // of the window that is planned
  Runs next_;     // of the next one
  std::mutex mutex_;
  std::condition_variable_any asked_;
  std::deque<std::shared_ptr<RunAhead>> queue_;  // not begun yet; guarded by mutex_
  std::vector<std::jthread> threads_;            // the last member, because they use the others
};

}  // namespace millrace::pipeline
