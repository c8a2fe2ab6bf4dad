#include "pipeline/runs_ahead.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"

namespace millrace::pipeline {
namespace {

// Reads under way together: the disk has the next one when it has done one, and a disk behind a
// network, which answers after 10 ms, delivers 1.3 GB/s of runs of 3.3 MB.
constexpr int kThreads = 4;

// Pieces of memory are multiples of it, so that they consist of large pages where these are
// allowed: the kernel then looks after two pages instead of 800. [bytes]
constexpr std::size_t kLargePage = std::size_t{2} << 20;

}  // namespace

class RunMemory {
 public:
  RunMemory() = default;
  ~RunMemory() {
    for (const std::span<std::byte> piece : free_) Unmap(piece);
  }
  RunMemory(const RunMemory&) = delete;
  RunMemory& operator=(const RunMemory&) = delete;

  // A piece of at least so many bytes, which begins at a page. Throws std::bad_alloc.
  std::span<std::byte> Take(std::size_t bytes) {
    std::span<std::byte> piece;
    {
      const std::lock_guard lock(mutex_);
      // The smallest one that is large enough; without one the largest makes room.
      auto best = std::find_if(free_.begin(), free_.end(),
                               [&](std::span<std::byte> one) { return one.size() >= bytes; });
      if (best == free_.end() && !free_.empty()) --best;
      if (best != free_.end()) {
        piece = *best;
        free_.erase(best);
      }
    }
    if (piece.size() >= bytes) return piece;
    if (!piece.empty()) Unmap(piece);
    return Map(bytes);
  }
  void Return(std::span<std::byte> piece) {
    const std::lock_guard lock(mutex_);
    free_.insert(std::upper_bound(free_.begin(), free_.end(), piece,
                                  [](std::span<std::byte> one, std::span<std::byte> other) {
                                    return one.size() < other.size();
                                  }),
                 piece);
  }

 private:
  static std::span<std::byte> Map(std::size_t bytes) {
    // An eighth more for the next run: sizes differ, and memory nobody touches costs nothing.
    const std::size_t size = (bytes + bytes / 8 + kLargePage - 1) / kLargePage * kLargePage;
    void* const memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    // A refusal costs nothing but time.
    (void)::madvise(memory, size, MADV_HUGEPAGE);
    return {static_cast<std::byte*>(memory), size};
  }
  static void Unmap(std::span<std::byte> piece) { ::munmap(piece.data(), piece.size()); }

  std::mutex mutex_;
  std::vector<std::span<std::byte>> free_;  // ascending by size; guarded by mutex_
};

RunAhead::RunAhead(SampleRun samples, std::shared_ptr<RunMemory> memory)
    : samples_(samples), memory_(std::move(memory)), records_(promise_.get_future()) {}

RunAhead::~RunAhead() {
  if (!bytes_.empty()) memory_->Return(bytes_);
}

std::span<const std::byte> RunAhead::BytesOf(std::uint64_t sample_id) const {
  MILLRACE_CHECK(sample_id >= samples_.first && sample_id < samples_.first + samples_.count);
  const auto& records = records_.get();
  if (records.empty()) return {};
  return records[sample_id - samples_.first];
}

void RunAhead::Read(const storage::SplitReader& reader) noexcept {
  std::vector<std::span<const std::byte>> records;
  try {
    bytes_ = memory_->Take(reader.RunBytes(samples_.first, samples_.count));
    records = reader.ReadRun(samples_.first, samples_.count, bytes_);
  } catch (const std::bad_alloc&) {
    records.clear();  // what is read without is only slower
  }
  if (records.empty()) reader.Prefetch(samples_.first, samples_.count);
  promise_.set_value(std::move(records));
}

void RunAhead::GiveUp() { promise_.set_value({}); }

RunsAhead::RunsAhead(const storage::SplitReader& reader)
    : reader_(reader), memory_(std::make_shared<RunMemory>()) {
  for (int i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { ReadAll(stop); });
  }
}

RunsAhead::~RunsAhead() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  for (const auto& run : queue_) run->GiveUp();
}

void RunsAhead::Ask(SampleRun run, Runs& window) {
  if (run.count == 0 || planned_.contains(run.first)) return;
  const auto [place, is_new] = window.try_emplace(run.first);
  if (!is_new) return;
  place->second = std::make_shared<RunAhead>(run, memory_);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(place->second);
  }
  asked_.notify_one();
}

void RunsAhead::NextWindow() { planned_ = std::exchange(next_, {}); }

std::shared_ptr<const RunAhead> RunsAhead::Find(std::uint64_t sample_id) const {
  for (const Runs* runs : {&planned_, &next_}) {
    const auto behind = runs->upper_bound(sample_id);
    if (behind == runs->begin()) continue;
    const auto& [first, run] = *std::prev(behind);
    if (sample_id < first + run->samples_.count) return run;
  }
  return nullptr;
}

void RunsAhead::ReadAll(const std::stop_token& stop) {
  for (;;) {
    std::shared_ptr<RunAhead> run;
    {
      std::unique_lock lock(mutex_);
      if (!asked_.wait(lock, stop, [&] { return !queue_.empty(); })) return;
      if (stop.stop_requested()) return;
      run = std::move(queue_.front());
      queue_.pop_front();
    }
    // Nobody else holds what neither the plan nor a sample needs any more.
    if (run.use_count() > 1) {
      run->Read(reader_);
    } else {
      run->GiveUp();
    }
  }
}

}  // namespace millrace::pipeline
