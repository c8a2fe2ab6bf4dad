#include "tracking/run_log.h"

#include <algorithm>
#include <chrono>

#include "base/process.h"

namespace millrace::tracking {
namespace {

// To wake a sleeping thread is a system call, longer than all else that an emission does: the
// worker looks by itself. Short enough for a bar that moves smoothly.
constexpr auto kRound = std::chrono::milliseconds(20);

// A dozen photographs of 224 x 224 have 1 MB.
constexpr std::size_t kMaxPictureBytes = std::size_t{64} << 20;

std::size_t PictureBytes(const Event& event) {
  const auto* picture = std::get_if<Picture>(&event);
  return picture != nullptr ? picture->png.size() : 0;
}

const Progress* ProgressOf(const Event& event) { return std::get_if<Progress>(&event); }

struct Dispatch {
  Sink& sink;
  void operator()(const Scalars& event) const { sink.OnScalars(event); }
  void operator()(const Progress& event) const { sink.OnProgress(event); }
  void operator()(const Message& event) const { sink.OnText(event.line); }
  void operator()(const Parameters& event) const { sink.OnParameters(event); }
  void operator()(const Picture& event) const { sink.OnPicture(event); }
  void operator()(const Note& event) const { sink.OnNote(event); }
  void operator()(const Histogram& event) const { sink.OnHistogram(event); }
  void operator()(const PrCurve& event) const { sink.OnPrCurve(event); }
  void operator()(const Artifact& event) const { sink.OnArtifact(event); }
  void operator()(const Status& event) const { sink.OnStatus(event); }
};

}  // namespace

RunLog::~RunLog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  if (worker_.joinable()) worker_.join();
  for (Member& member : members_) member.sink.reset();
}

void RunLog::Add(std::unique_ptr<Sink> sink) {
  Flush();
  {
    const std::lock_guard lock(sinks_mutex_);
    members_.push_back({.sink = std::move(sink)});
  }
  const std::lock_guard lock(mutex_);
  if (!worker_.joinable()) worker_ = std::thread([this] { Work(); });
}

void RunLog::ThrowFailure() const {
  if (failure_ != nullptr) std::rethrow_exception(failure_);
}

void RunLog::Emit(Event event) {
  const std::lock_guard lock(mutex_);
  ThrowFailure();
  if (!worker_.joinable()) return;
  Queue(std::move(event));
}

void RunLog::Queue(Event event) {
  // The first progress of a piece of work begins its clock, and the newest is worth showing.
  if (const Progress* progress = ProgressOf(event); progress != nullptr && queue_.size() >= 2) {
    const auto same = [progress](const Event& other) {
      return ProgressOf(other) != nullptr && ProgressOf(other)->label == progress->label;
    };
    if (same(queue_.back()) && same(queue_[queue_.size() - 2])) {
      queue_.back() = std::move(event);
      return;
    }
  }
  const std::size_t bytes = PictureBytes(event);
  if (bytes > 0 && picture_bytes_ + bytes > kMaxPictureBytes) {
    if (lost_pictures_++ == 0) {
      ++emitted_;
      queue_.push_back(Message{
          "pictures come faster than they can be written: some are left out of the run's log"});
    }
    return;
  }
  picture_bytes_ += bytes;
  ++emitted_;
  queue_.push_back(std::move(event));
}

void RunLog::Fail(Member& member) {
  member.failed = true;
  const std::lock_guard lock(mutex_);
  if (failure_ == nullptr) failure_ = std::current_exception();
}

void RunLog::Deliver(const Event& event) {
  const std::lock_guard lock(sinks_mutex_);
  for (Member& member : members_) {
    if (member.failed) continue;
    try {
      std::visit(Dispatch{*member.sink}, event);
    } catch (...) {
      Fail(member);
    }
  }
}

void RunLog::Work() {
  NameThisThread("run log");
  std::vector<Event> events;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, kRound, [this] { return hurry_ || ending_; });
    hurry_ = false;
    while (!queue_.empty()) {
      events.swap(queue_);
      lock.unlock();
      std::size_t pictures = 0;
      for (const Event& event : events) {
        Deliver(event);
        pictures += PictureBytes(event);
      }
      const std::size_t count = events.size();
      events.clear();
      lock.lock();
      picture_bytes_ -= pictures;
      delivered_ += count;
      taken_.notify_all();
    }
    if (ending_) return;
  }
}

void RunLog::Flush() {
  std::unique_lock lock(mutex_);
  if (worker_.joinable()) {
    const std::uint64_t all = emitted_;
    hurry_ = true;
    wake_.notify_one();
    taken_.wait(lock, [&] { return delivered_ >= all; });
  }
  ThrowFailure();
}

void RunLog::Finish() {
  Flush();
  std::uint64_t lost = 0;
  {
    const std::lock_guard lock(mutex_);
    lost = std::exchange(lost_pictures_, 0);
  }
  if (lost > 0) Text("{} pictures were left out of the run's log", lost);
  // Without the lock, so that the lines of a sink that is waited for come through; nobody adds
  // sinks while the run ends.
  for (Member& member : members_) {
    try {
      member.sink->Finish();
    } catch (...) {
      const std::lock_guard lock(sinks_mutex_);
      Fail(member);
    }
  }
  Flush();
}

}  // namespace millrace::tracking
