#include "tracking/remote.h"

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "base/process.h"
#include "base/utf8.h"

namespace millrace::tracking {
namespace {

using Milliseconds = std::chrono::milliseconds;

// From this share of the journal on there is no room for what can be looked up elsewhere.
constexpr double kPictureShare = 0.5;
constexpr double kEverything = 1;

std::int64_t WallTimeMs() {
  return std::chrono::duration_cast<Milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What a point is known by, and its step; nothing for events that are no points.
struct PointOf {
  using Point = std::optional<std::pair<std::string, std::uint64_t>>;

  Point operator()(const Scalars& e) const {
    // What is told together at one step may come again so.
    std::string tag = e.group + fmt::format("/{}", static_cast<int>(e.kind));
    for (const auto& [name, value] : e.values) tag += " " + name;
    return {{std::move(tag), e.step}};
  }
  Point operator()(const Message&) const { return {}; }
  Point operator()(const Parameters&) const { return {}; }
  Point operator()(const Picture& e) const { return {{"picture " + e.name, e.step}}; }
  Point operator()(const Note& e) const { return {{"note " + e.name, e.step}}; }
  Point operator()(const Histogram& e) const { return {{"histogram " + e.name, e.step}}; }
  Point operator()(const PrCurve& e) const { return {{"curve " + e.name, e.step}}; }
  Point operator()(const Artifact&) const { return {}; }
  Point operator()(const Status&) const { return {}; }
};

void Raise(std::map<std::string, std::uint64_t>& marks, const RemoteEvent::What& what) {
  const auto point = std::visit(PointOf{}, what);
  if (!point) return;
  auto [at, added] = marks.try_emplace(point->first, point->second);
  if (!added) at->second = std::max(at->second, point->second);
}

}  // namespace

Remote::Remote(std::unique_ptr<RemoteSink> server, std::filesystem::path folder, Options options,
               std::function<void(const std::string&)> tell)
    : server_(std::move(server)),
      options_(std::move(options)),
      tell_(std::move(tell)),
      limit_(options_.batch_events),
      random_(std::random_device{}()) {
  Marks waiting;
  journal_ = std::make_unique<Journal>(
      std::move(folder), options_.journal, [&waiting](const Journal::Entry& entry) {
        if (const auto event = DecodeRemoteEvent(entry.number, entry.bytes)) {
          Raise(waiting, event->what);
        }
      });
  if (!journal_->note().empty()) {
    const auto note = nlohmann::json::parse(journal_->note(), nullptr, /*allow_exceptions=*/false);
    if (note.is_object()) delivered_marks_ = note.get<Marks>();
  }
  marks_ = delivered_marks_;
  for (const auto& [tag, step] : waiting) marks_[tag] = std::max(marks_[tag], step);
  if (journal_->missing() > 0) {
    Say(fmt::format(
        "{} events for {} were lost from {}, as when the power fails; metrics.jsonl has "
        "all numbers",
        FormatCount(journal_->missing()), server_->name(), journal_->folder().string()));
  }
  thread_ = std::thread([this] { Work(); });
}

Remote::~Remote() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Remote::Say(const std::string& line) const {
  try {
    tell_(line);
  } catch (const std::exception&) {
    // A log that cannot be written ends the run from elsewhere.
  }
}

// ---- the side of the run ----

bool Remote::IsNew(const std::string& tag, std::uint64_t step) {
  const auto at = marks_.find(tag);
  return at == marks_.end() || step > at->second;
}

void Remote::Put(const RemoteEvent::What& what, double share) {
  if (!server_->Takes(what)) return;
  if (const auto point = std::visit(PointOf{}, what)) {
    if (!IsNew(point->first, point->second)) return;
  }
  std::string problem = "it is full";
  try {
    if (journal_->Append(EncodeRemoteEvent(WallTimeMs(), what), share)) {
      Raise(marks_, what);
      {
        const std::lock_guard lock(mutex_);
        arrived_ = true;
        idle_ = false;
      }
      changed_.notify_all();
      return;
    }
  } catch (const Error& error) {
    problem = error.what();
  }
  ++left_out_;
  if (std::exchange(told_full_, true)) return;
  Say(fmt::format(
      "what {} is to be told no longer fits into {} ({}): some of it is left out; the run goes on, "
      "and its own files have everything",
      server_->name(), journal_->folder().string(), problem));
}

void Remote::OnScalars(const Scalars& scalars) {
  if (!scalars.values.empty()) Put(scalars, kEverything);
}
void Remote::OnText(const std::string& line) { Put(Message{line}, kPictureShare); }
void Remote::OnParameters(const Parameters& parameters) { Put(parameters, kEverything); }
void Remote::OnPicture(const Picture& picture) { Put(picture, kPictureShare); }
void Remote::OnNote(const Note& note) { Put(note, kPictureShare); }
void Remote::OnHistogram(const Histogram& histogram) { Put(histogram, kPictureShare); }
void Remote::OnPrCurve(const PrCurve& curve) { Put(curve, kPictureShare); }
void Remote::OnArtifact(const Artifact& artifact) { Put(artifact, kEverything); }
void Remote::OnStatus(const Status& status) { Put(status, kEverything); }

void Remote::Finish() {
  std::string failure;
  {
    std::unique_lock lock(mutex_);
    finishing_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, options_.waits.finish, [this] { return idle_ || stopping_; });
    stopping_ = true;
    failure = failure_;
  }
  changed_.notify_all();
  if (const std::uint64_t count = left_out_; count > 0) {
    Say(fmt::format("{} events for {} were left out", FormatCount(count), server_->name()));
  }
  if (const std::uint64_t left = waiting(); left > 0) {
    Say(fmt::format(
        "{} events could not be delivered to {}{} and wait in {}; deliver them with: {}",
        FormatCount(left), server_->name(), failure.empty() ? "" : " (" + failure + ")",
        journal_->folder().string(), options_.how_to_deliver));
  }
}

// ---- the side of the server ----

void Remote::Work() {
  NameThisThread("tracker");
  try {
    while (Fetch()) DeliverSome();
  } catch (const std::exception& error) {
    Say(fmt::format("nothing more is delivered to {}: {}", server_->name(), error.what()));
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
}

bool Remote::Fetch() {
  while (batch_.empty()) {
    std::unique_lock lock(mutex_);
    if (stopping_) return false;
    arrived_ = false;
    lock.unlock();
    for (const Journal::Entry& entry :
         journal_->Read(options_.batch_events, options_.batch_bytes)) {
      auto event = DecodeRemoteEvent(entry.number, entry.bytes);
      // An event that cannot be read keeps its place, so that it is acknowledged with the others.
      batch_.push_back(event
                           ? std::move(*event)
                           : RemoteEvent{.number = entry.number, .time_ms = 0, .what = Message{}});
    }
    if (!batch_.empty()) break;
    lock.lock();
    if (arrived_) continue;
    idle_ = true;
    changed_.notify_all();
    while (!changed_.wait_for(lock, options_.waits.keep_alive,
                              [this] { return arrived_ || stopping_; })) {
      lock.unlock();
      KeepAlive();
      lock.lock();
    }
    if (stopping_) return false;
    // More will come at once.
    changed_.wait_for(lock, options_.gather, [this] { return finishing_ || stopping_; });
  }
  const std::lock_guard lock(mutex_);
  return !stopping_;
}

void Remote::KeepAlive() {
  try {
    server_->KeepAlive();
  } catch (const std::exception&) {
    // What is told next shows how things are.
  }
}

Delivery Remote::TryToDeliver(std::span<const RemoteEvent> events) {
  try {
    return server_->Deliver(events);
  } catch (const std::exception& error) {
    return {.outcome = Delivery::Outcome::kTryLater, .reason = error.what()};
  }
}

void Remote::DeliverSome() {
  const std::size_t count = std::min(batch_.size(), limit_);
  const Delivery delivery = TryToDeliver(std::span(batch_).first(count));
  switch (delivery.outcome) {
    case Delivery::Outcome::kDelivered:
      Delivered(count);
      limit_ = std::min(2 * limit_, options_.batch_events);
      return;
    case Delivery::Outcome::kTryLater:
      PauseAfterFailure(delivery.reason);
      return;
    case Delivery::Outcome::kRefused:
      if (count > 1) {
        // One event of many is the cause: the others shall arrive.
        limit_ = count / 2;
        return;
      }
      ++refused_;
      if (!std::exchange(told_refusal_, true)) {
        Say(fmt::format("{} refuses something that the run tells ({}): it is left out",
                        server_->name(), Printable(delivery.reason)));
      }
      Delivered(1);
  }
}

void Remote::Delivered(std::size_t count) {
  const std::uint64_t last = batch_[count - 1].number;
  for (std::size_t i = 0; i < count; ++i) Raise(delivered_marks_, batch_[i].what);
  batch_.erase(batch_.begin(), batch_.begin() + static_cast<std::ptrdiff_t>(count));
  journal_->Acknowledge(last, nlohmann::json(delivered_marks_)
                                  .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (std::exchange(failures_, 0) == 0) return;
  {
    const std::lock_guard lock(mutex_);
    failure_.clear();
  }
  Say(fmt::format("{} is back; {} events that waited are being delivered", server_->name(),
                  FormatCount(waiting() + count)));
}

void Remote::PauseAfterFailure(const std::string& reason) {
  const std::string printable = Printable(reason);
  std::unique_lock lock(mutex_);
  failure_ = printable;
  if (failures_++ == 0) {
    lock.unlock();
    Say(fmt::format("{} cannot be reached ({}): the run goes on, and what it tells waits in {}",
                    server_->name(), printable, journal_->folder().string()));
    lock.lock();
  }
  // Doubled with every failure, less a random part, so that many runs do not come back together.
  constexpr int kMostDoublings = 20;
  const auto pause = std::min<std::chrono::duration<double, std::milli>>(
      options_.first_pause * (1 << std::min(failures_ - 1, kMostDoublings)),
      options_.longest_pause);
  const double share = std::uniform_real_distribution<double>(0.5, 1)(random_);
  if (finishing_) {
    changed_.wait_for(
        lock, std::min<std::chrono::duration<double, std::milli>>(options_.first_pause, pause),
        [this] { return stopping_; });
  } else {
    changed_.wait_for(lock, pause * share, [this] { return finishing_ || stopping_; });
  }
}

}  // namespace millrace::tracking
