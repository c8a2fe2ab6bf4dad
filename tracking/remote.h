// A remote tracker that cannot hurt training: a journal on disk, and a thread that delivers what
// waits there.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tracking/event.h"
#include "tracking/journal.h"
#include "tracking/remote_event.h"

namespace millrace::tracking {

// What the trackers are told of the run as a whole.
struct RunDescription {
  std::string name;
  std::filesystem::path dataset;
  std::string fingerprint;  // of the dataset
  // A line for a shell that starts the same run again, in a folder of its own by the name that is
  // in CLEARML_TASK_ID then: for trackers whose agents start runs.
  std::string command;
  // What TrackerRun::ForCheckpoint() said to the checkpoint that the run goes on from; empty: none.
  std::string before = {};
};

// What became of a batch.
struct Delivery {
  enum class Outcome : std::uint8_t {
    kDelivered,
    kTryLater,  // the server is away or busy, or speaks nonsense
    kRefused,   // the server answers, and will never take this
  };
  Outcome outcome = Outcome::kDelivered;
  std::string reason;  // for people, where it was not delivered
};

// A tracker's server. Called by one thread at a time, never the training's.
class RemoteSink {
 public:
  virtual ~RemoteSink() = default;

  // For messages: "MLflow at http://host:5000".
  virtual std::string name() const = 0;

  // Whether the server has a place for events of this kind; others never come into the journal. Any
  // thread, at any time.
  virtual bool Takes(const RemoteEvent::What& /*what*/) const { return true; }

  // What checkpoints keep of the run there (TrackerRun::ForCheckpoint). Any thread, at any time.
  virtual std::string ForCheckpoint() const { return ""; }

  // Gives the events to the server. Must come back by itself, within some ten seconds. What it
  // throws counts as kTryLater.
  //
  // Batches come in order, and an event comes again only where it is not known whether the server
  // has it: after kTryLater, and after the process was killed between a delivery and the note of
  // it. Its number and time are the same then, by which the sink or its server must know it again.
  virtual Delivery Deliver(std::span<const RemoteEvent> events) = 0;

  // Says that the run is still there. Called after a while without anything to deliver; what it
  // throws is of no consequence, for whatever is told next shows how things are.
  virtual void KeepAlive() {}
};

// How long a run waits.
struct RemoteWaits {
  std::chrono::milliseconds finish = std::chrono::seconds(30);  // at its end, for the rest
  // Without anything to tell, until it says that it is still there. ClearML's server gives a task
  // up after two hours.
  std::chrono::milliseconds keep_alive = std::chrono::minutes(10);
};

// Puts events into a journal in `folder` and delivers them in the background.
//
// A server that is away, slow, full of nonsense or that refuses is told of once, and once more when
// it is well again; it never fails the run, nor does a journal that cannot be written. What does
// not fit into the journal is left out and told: pictures and the like from half of it on,
// everything when it is full. A resumed run goes back some steps: points of a tag up to the last
// step that was told before are not told again.
class Remote final : public Sink {
 public:
  struct Options {
    Journal::Limits journal;
    std::size_t batch_events = 500;
    std::size_t batch_bytes = std::size_t{1} << 20;
    std::chrono::milliseconds gather{1000};       // from the first event that waits to its delivery
    std::chrono::milliseconds first_pause{1000};  // after a failure; doubles with each further one
    std::chrono::milliseconds longest_pause{60000};
    RemoteWaits waits;
    std::string how_to_deliver;  // what to do with what is left then: "millrace sync runs/a"
  };

  // `tell` gets lines for people, from any thread; it must stay until this is destroyed. Throws
  // Error naming the file when the journal cannot be opened.
  Remote(std::unique_ptr<RemoteSink> server, std::filesystem::path folder, Options options,
         std::function<void(const std::string&)> tell);
  // Ends the delivery under way; what is not delivered stays in the journal.
  ~Remote() override;
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;

  void OnScalars(const Scalars& scalars) override;
  void OnText(const std::string& line) override;
  void OnParameters(const Parameters& parameters) override;
  void OnPicture(const Picture& picture) override;
  void OnNote(const Note& note) override;
  void OnHistogram(const Histogram& histogram) override;
  void OnPrCurve(const PrCurve& curve) override;
  void OnArtifact(const Artifact& artifact) override;
  void OnStatus(const Status& status) override;
  // Waits until everything is delivered, at most `waits.finish`, and tells what is left.
  void Finish() override;

  std::string ForCheckpoint() const { return server_->ForCheckpoint(); }

  // Events that wait.
  std::uint64_t waiting() const { return journal_->waiting(); }

 private:
  // The last step of each tag.
  using Marks = std::map<std::string, std::uint64_t>;

  bool IsNew(const std::string& tag, std::uint64_t step);
  void Put(const RemoteEvent::What& what, double share);
  void Work();
  // False: the thread has to end.
  bool Fetch();
  void KeepAlive();
  void DeliverSome();
  Delivery TryToDeliver(std::span<const RemoteEvent> events);
  void Delivered(std::size_t count);
  void PauseAfterFailure(const std::string& reason);
  void Say(const std::string& line) const;

  const std::unique_ptr<RemoteSink> server_;
  const Options options_;
  const std::function<void(const std::string&)> tell_;
  Marks marks_;  // of what is in the journal; of the thread that hands on events
  bool told_full_ = false;
  std::atomic<std::uint64_t> left_out_{0};

  // Of the delivering thread.
  Marks delivered_marks_;
  std::vector<RemoteEvent> batch_;  // read, not yet delivered
  std::size_t limit_ = 0;           // events of the next delivery: less where some are refused
  int failures_ = 0;                // one after the other
  bool told_refusal_ = false;
  std::uint64_t refused_ = 0;
  std::mt19937_64 random_;

  std::unique_ptr<Journal> journal_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;    // an entry, since the last look
  bool finishing_ = false;  // no gathering, no pauses
  bool stopping_ = false;
  bool idle_ = false;    // nothing waits
  std::string failure_;  // the last one, while it lasts
  std::thread thread_;
};

}  // namespace millrace::tracking
