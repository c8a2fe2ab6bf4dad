// The other processes of a run: how this one finds them, hears of their failures and leaves them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/alive.h"
#include "base/error.h"
#include "model/store.h"
#include "pipeline/lane_groups.h"
#include "pipeline/placement.h"
#include "pipeline/stop.h"

namespace millrace::pipeline {

// Where the processes of `placement` find each other. Whoever has several runs in them, one after
// another, keeps it for all and gives each run_id of its own: a store that is served goes with the
// last copy. Throws Error when it cannot be reached.
model::Store OpenStore(const Placement& placement);

// What processes say to each other beside what ranks exchange in every step: through the store. A
// single process has no peers, and nothing here waits or fails. Calls from one thread, if nothing
// else is said. Errors: the first failure of any process, the same text in all of them.
class Peers {
 public:
  // `lanes`: of each process. `interrupt`: set from outside when this process is asked to end
  // (nullptr: never). `store`: nullptr: one of their own. Throws Error when the store cannot be
  // reached.
  Peers(const Placement& placement, std::uint32_t lanes, const std::atomic<bool>* interrupt,
        const model::Store* store = nullptr);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  bool alone() const { return placement_.num_processes == 1; }
  // Process 0 owns the run's folder and speaks for all.
  bool first() const { return placement_.process == 0; }
  std::uint32_t count() const { return placement_.num_processes; }

  // Runs the part of a run in which processes may fail, and leaves the others in order. What
  // `body` throws becomes the failure of the run unless there is one; throws that.
  void Together(const std::function<void()>& body);

  // Returns when every process has come to the point called `name`.
  void Meet(const std::string& name);
  // Process 0's value, in all processes.
  std::string FromFirst(const std::string& name, const std::string& value);
  // The values of all processes, by process.
  std::vector<std::string> FromEach(const std::string& name, const std::string& value);
  // Throws Error when a process has another value than process 0: "process 1 has ... ".
  void RequireSame(const std::string& what, const std::string& value);

  // Where processes leave each other words under names that begin so, for a thread of its own.
  model::Store Mailbox(const std::string& prefix) const { return store_.Clone().Within(prefix); }

  // All ranks; a lane that waits longer than `timeout` ends the run.
  World MakeWorld(std::chrono::milliseconds timeout) const;

  // From then on, until `watched` goes, stops `stop` when a process fails or the first ends the
  // run, and makes a rank that the others wait for in vain a failure.
  class Watched {
   public:
    explicit Watched(Peers& peers) : peers_(peers) {}
    ~Watched() { peers_.Unwatch(); }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;

   private:
    Peers& peers_;
  };
  [[nodiscard]] Watched Watch(Stop& stop, const LaneGroups& groups,
                              std::chrono::milliseconds timeout);

  // Whether this process, or for process 0 any, has been asked to end. Any thread.
  const std::atomic<bool>* interrupt() const { return alone() ? asked_ : &interrupted_; }

  // Process 0 tells the others that the run has ended, where they do not see it themselves.
  void TellEnd(ExitCode how);
  // How it has, if so. `waits`: gives the word a while to come, because a rank was lost, which may
  // be why.
  std::optional<ExitCode> EndedByFirst(bool waits);

 private:
  struct WatchedRun {
    Stop* stop = nullptr;
    const LaneGroups* groups = nullptr;
    std::chrono::milliseconds timeout{};
  };

  void Unwatch();
  void KeepWatch(const std::stop_token& over);
  void LookAround(const model::Store& store);
  // "process 1 (ranks 2 and 3, on host7)"
  std::string Name(std::uint32_t process);
  std::optional<std::string> FindLost(const model::Store& store);
  std::optional<std::string> FindStalled(const model::Store& store, const WatchedRun& run);
  // Makes it the run's failure unless there is one.
  void Post(const model::Store& store, const std::string& text, ExitCode code);
  // The run's failure: as an Error; none yet: nothing.
  std::optional<Error> Failure(const model::Store& store) const;
  [[noreturn]] void ThrowFirst(const std::exception_ptr& own);
  void Leave() noexcept;

  const Placement placement_;
  const std::uint32_t lanes_;
  const std::atomic<bool>* const asked_;  // nullptr: never
  model::Store store_;
  std::unique_ptr<Alive> alive_;  // where all are on one machine
  std::atomic<bool> interrupted_{false};
  bool told_interrupt_ = false;
  std::int64_t beat_ns_ = 0;  // of this process's last sign of life
  struct Beat {
    std::string value;
    std::int64_t seen_ns = 0;
  };
  std::vector<Beat> beats_;  // of others, as the watch has seen them
  std::mutex watched_mutex_;
  WatchedRun watched_;  // guarded by watched_mutex_
  std::jthread watch_;  // last: uses the others
};

}  // namespace millrace::pipeline
