#include "pipeline/graph.h"

#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "pipeline/lane_thread.h"
#include "pipeline/stage_range.h"

namespace millrace::pipeline {
namespace {

namespace flow = oneapi::tbb::flow;
using stages::Batch;
using stages::Sample;
using stages::Slot;

// A worker that is free takes the sample that is furthest on its way: few samples are half done at
// a time, and the pixels of the next stage are still in the worker's cache.
constexpr flow::node_priority_t kReadPriority = 1;
constexpr flow::node_priority_t kDecodePriority = 2;
constexpr flow::node_priority_t kAugmentPriority = 3;
constexpr flow::node_priority_t kCollatePriority = 4;
constexpr flow::node_priority_t kPlanPriority = 5;
// A finished batch goes to its lane before any more samples are made. oneTBB runs the bodies of
// nodes without a priority only when no other work is left: without these, a lane would wait for
// its ready batch until the workers had filled every slot.
constexpr flow::node_priority_t kSequencePriority = 6;
constexpr flow::node_priority_t kLanePriority = 7;

// Older batches first: what the lanes need next is made next, and a slot is soon free again.
struct IsLaterSample {
  bool operator()(const Sample& a, const Sample& b) const {
    const std::uint64_t a_batch = a.slot->batch().sequence;
    const std::uint64_t b_batch = b.slot->batch().sequence;
    return a_batch != b_batch ? a_batch > b_batch : a.index > b.index;
  }
};

// Lets the calling worker give way to the lanes' threads wherever both want the same core: a device
// waits for its lane's thread, and the compute threads of a CPU lane wait for the slowest of them.
// The lanes' threads are made outside and keep their priority. Once for each thread, which stays so
// for good: only root could take it back. (A task_scheduler_observer of oneTBB would be told of
// every worker, but leaks where a worker is still on its way when the observer goes.)
void GiveWayToLanes() noexcept {
  // A third of a lane's weight (sched_prio_to_weight of the kernel): lanes come first, and beside
  // other people's busy programs the feed still gets on.
  constexpr int kBelow = 5;
  // Not zero at first: mold 1.10 (of Debian 12) makes programs that do not start of thread-local
  // zeros.
  thread_local bool has_priority = true;
  if (!std::exchange(has_priority, false)) return;
  // Linux has a nice value for every thread, ends at 19, and always lets one raise one's own. Below
  // the main thread's: a worker inherits that of the worker that made it.
  (void)::setpriority(PRIO_PROCESS, static_cast<::id_t>(::gettid()),
                      ::getpriority(PRIO_PROCESS, static_cast<::id_t>(::getpid())) + kBelow);
}

// All nodes of one run. Bodies never throw into oneTBB and never block on one another: a failure is
// kept in `stop`, and from then on every node drops what reaches it, so that the graph runs empty
// by itself. (Cancelling a oneTBB graph instead would leave the lanes' reserve_wait counts to be
// repaired.)
class Graph {
 public:
  using LaneNode = flow::async_node<Slot*, Slot*>;

  Graph(const GraphOptions& options, const std::function<std::optional<Batch>()>& next_batch,
        SampleWork& samples, const std::vector<LaneWork*>& lanes, Stop& stop, StageStats& stats)
      : next_batch_(next_batch),
        samples_(samples),
        stop_(stop),
        stats_(stats),
        trace_(options.trace),
        make_slot_([options](std::uint32_t number) {
          return std::make_unique<Slot>(number, options.max_batch, options.max_image_bytes,
                                        options.allocate);
        }),
        on_more_slots_(options.on_more_slots),
        on_workers_(options.on_workers),
        growth_(options.num_slots, options.max_slots, static_cast<std::uint32_t>(lanes.size())),
        limit_(options.workers,
               options.least_workers > 0 ? options.least_workers : options.workers),
        chains_(MakeChains(GroupsOf(options))),
        sequence_(
            chains_.front()->graph, flow::serial, [this](Slot* slot) { Sequence(slot); },
            kSequencePriority) {
    for (std::uint32_t i = 0; i < options.num_slots; ++i) slots_.push_back(make_slot_(i));
    for (LaneWork* lane : lanes) AddLane(*lane);
  }

  void Run() {
    for (const auto& slot : slots_) ChainOf(*slot).plan.try_put(slot.get());
    // A chain that was idle may have been given a slot since, by a lane or another chain that was
    // not: all are idle once nothing has gone from one to the other while each was found so.
    std::uint64_t before = 0;
    do {
      before = crossings_.load();
      for (const auto& chain : chains_) chain->Wait();
    } while (crossings_.load() != before);
  }

 private:
  // A message that a sample waits. Which one is read is decided when a worker comes to it: messages
  // with the samples themselves would be tasks of one priority, of which oneTBB lets some lie while
  // it runs thousands that came later, and a batch waits for its last sample.
  struct Turn {};
  using PlanNode = flow::function_node<Slot*>;
  using ReadNode = flow::function_node<Turn, Sample>;
  using SampleNode = flow::function_node<Sample, Sample>;
  using CollateNode = flow::function_node<Sample>;

  // Samples that are planned and not finished. Any thread.
  class OpenSamples {
   public:
    void Push(const Sample& sample) {
      const std::lock_guard lock(mutex_);
      waiting_.push(sample);
    }
    // One more is begun, unless none waits or `most(phase of the oldest)` are under way already.
    template <typename Most>
    bool Begin(const Most& most) {
      const std::lock_guard lock(mutex_);
      const std::size_t waiting_without_turn = waiting_.size() - turns_;
      if (waiting_without_turn == 0) return false;
      if (under_way_ >= most(waiting_.top().slot->batch().phase)) return false;
      ++turns_;
      ++under_way_;
      return true;
    }
    // REQUIRES: not more calls than times that Begin() returned true
    Sample PopOldest() {
      const std::lock_guard lock(mutex_);
      MILLRACE_CHECK(turns_ > 0);
      --turns_;
      const Sample sample = waiting_.top();
      waiting_.pop();
      return sample;
    }
    void End() {
      const std::lock_guard lock(mutex_);
      --under_way_;
    }

   private:
    std::mutex mutex_;
    std::priority_queue<Sample, std::vector<Sample>, IsLaterSample> waiting_;  // guarded by mutex_
    std::size_t turns_ = 0;  // that have not come to their worker yet; guarded by mutex_
    int under_way_ = 0;      // samples between Begin() and End(); guarded by mutex_
  };

  // The stages of the samples on one group of workers. It has slots of its own, whose pixels lie on
  // the group's NUMA node since its workers are the first to write them.
  struct Chain {
    // REQUIRES: called in `arena`, to which oneTBB then attaches the graph
    Chain(Graph& all, const WorkerGroup& group, std::unique_ptr<oneapi::tbb::task_arena> arena)
        : workers(std::move(arena)),
          num_workers(group.workers),
          plan(
              graph, flow::serial, [this, &all](Slot* slot) { all.Plan(slot, *this); },
              kPlanPriority),
          read(
              graph, flow::unlimited,
              [this, &all](Turn) {
                const Sample sample = samples.PopOldest();
                return all.Process(Stage::kRead, sample, [&] { all.samples_.Read(sample); });
              },
              kReadPriority),
          decode(
              graph, flow::unlimited,
              [&all](const Sample& sample) {
                return all.Process(Stage::kDecode, sample, [&] { all.samples_.Decode(sample); });
              },
              kDecodePriority),
          augment(
              graph, flow::unlimited,
              [&all](const Sample& sample) {
                return all.Process(Stage::kAugment, sample, [&] { all.samples_.Augment(sample); });
              },
              kAugmentPriority),
          collate(
              graph, flow::unlimited,
              [this, &all](const Sample& sample) {
                all.Collate(sample);
                samples.End();
                all.BeginSamples(*this);
              },
              kCollatePriority) {
      flow::make_edge(read, decode);
      flow::make_edge(decode, augment);
      flow::make_edge(augment, collate);
    }

    // One of the workers waits: a thread that waits takes part in the work.
    void Wait() {
      const auto idle = std::make_shared<std::promise<void>>();
      workers->enqueue([this, idle] {
        graph.wait_for_all();
        idle->set_value();
      });
      idle->get_future().wait();
    }

    const std::unique_ptr<oneapi::tbb::task_arena> workers;
    const int num_workers;
    flow::graph graph;
    OpenSamples samples;
    PlanNode plan;
    ReadNode read;
    SampleNode decode;
    SampleNode augment;
    CollateNode collate;
  };

  static std::vector<WorkerGroup> GroupsOf(const GraphOptions& options) {
    if (options.groups.empty()) return {{.workers = options.workers}};
    MILLRACE_CHECK(options.groups.size() <= options.num_slots);
    return options.groups;
  }

  std::vector<std::unique_ptr<Chain>> MakeChains(const std::vector<WorkerGroup>& groups) {
    std::vector<std::unique_ptr<Chain>> chains;
    for (const WorkerGroup& group : groups) {
      auto arena =
          std::make_unique<oneapi::tbb::task_arena>(oneapi::tbb::task_arena::constraints()
                                                        .set_numa_id(group.numa_node)
                                                        .set_max_concurrency(group.workers),
                                                    /*reserved_for_masters=*/0);
      arena->execute(
          [&] { chains.push_back(std::make_unique<Chain>(*this, group, std::move(arena))); });
    }
    return chains;
  }

  std::size_t ChainNumberOf(const Slot& slot) const { return slot.number() % chains_.size(); }
  Chain& ChainOf(const Slot& slot) { return *chains_[ChainNumberOf(slot)]; }

  // The slot is free: its chain begins another batch. Called where the first chain is not idle.
  void GiveBack(Slot* slot) {
    ChainOf(*slot).plan.try_put(slot);
    CountCrossing(*slot);
  }

  // To be told behind a slot's way from one chain to another, while where it comes from is not
  // idle. The lanes belong to the first chain.
  void CountCrossing(const Slot& slot) {
    if (ChainNumberOf(slot) != 0) ++crossings_;
  }

  struct Lane {
    std::unique_ptr<LaneNode> node;  // of both copy and train step
    // Of the lane's thread alone [ns].
    std::int64_t waited_ns = 0;  // for data, and not told to growth_ yet
    std::int64_t step_ns = 0;    // its last train step, as long as the call took
    std::int64_t step_begin_ns = 0;
    std::unique_ptr<LaneThread> thread;
  };

  // Calls `body` unless the run is over; whatever it throws ends the run. Returns whether to go on.
  template <typename Body>
  bool Guard(Stage stage, const Slot* slot, std::uint32_t sample, Body&& body) noexcept {
    if (stop_.stopped()) return false;
    try {
      const StageStats::Timer timer(stats_, stage);
      const StageRange range(stage);
      MILLRACE_CHECK(slot != nullptr);
      if (trace_ == nullptr) {
        body();
      } else {
        Trace(stage, *slot, sample, body);
      }
    } catch (...) {
      stats_.RecordFailure(stage);
      stop_.Fail(std::current_exception());
      return false;
    }
    return !stop_.stopped();
  }

  template <typename Body>
  void Trace(Stage stage, const Slot& slot, std::uint32_t sample, const Body& body) {
    StageCall call{.stage = stage, .slot = slot.number(), .sample = sample};
    const auto set_batch = [&] {
      call.batch = slot.batch().sequence;
      call.lane = slot.batch().lane;
    };
    // The plan decides on the batch. Behind the others the slot may hold another one already.
    if (stage != Stage::kPlan) set_batch();
    const StageTrace::Watch watch;
    body();
    watch.End(&call);
    if (stage == Stage::kPlan) set_batch();
    call.bytes = BytesMade(stage, slot, sample);
    trace_->Add(call);
  }

  // What a call has just produced, in a slot that it still has for itself.
  static std::uint64_t BytesMade(Stage stage, const Slot& slot, std::uint32_t sample) {
    switch (stage) {
      case Stage::kRead:
        return slot.sample(sample).record.payload.size();
      case Stage::kDecode:
        return slot.sample(sample).decoded_bytes;
      case Stage::kAugment:
        return slot.image_bytes();
      case Stage::kCopy:
        return slot.pixels().size();
      default:
        return 0;
    }
  }

  // A sample stage. The message goes on in any case; once the run is over the next node drops it.
  template <typename Body>
  Sample Process(Stage stage, const Sample& sample, Body&& body) noexcept {
    GiveWayToLanes();
    Guard(stage, sample.slot, sample.index, std::forward<Body>(body));
    return sample;
  }

  void Plan(Slot* slot, Chain& chain) noexcept {
    // At the end of the plan the slot simply stays where it is.
    Guard(Stage::kPlan, slot, StageCall::kWholeBatch, [&] {
      const std::lock_guard lock(plan_mutex_);
      const std::optional<Batch> batch = next_batch_();
      if (!batch) return;
      slot->Begin(*batch, samples_.PictureSizeOf(*batch));
      for (std::uint32_t i = 0; i < batch->size; ++i) {
        const RandomKey key = samples_.KeyAt(*batch, batch->first_position + i);
        slot->sample(i).sample_id = key.sample_id;
        const Sample sample{.slot = slot, .index = i, .key = key};
        samples_.Plan(sample);
        chain.samples.Push(sample);
      }
    });
    BeginSamples(chain);
  }

  // Gives turns to samples that wait, as many as workers are to have.
  void BeginSamples(Chain& chain) {
    if (stop_.stopped()) return;
    const auto most = [&](stages::Phase phase) {
      const int of_all = phase == stages::Phase::kTrain ? limit_.now() : limit_.all();
      // Rounded up: at least one in each chain.
      return (of_all * chain.num_workers + limit_.all() - 1) / limit_.all();
    };
    while (chain.samples.Begin(most)) chain.read.try_put(Turn{});
  }

  void Collate(const Sample& sample) noexcept {
    bool complete = false;
    if (Guard(Stage::kCollate, sample.slot, sample.index,
              [&] { complete = sample.slot->FinishSample(); }) &&
        complete) {
      growth_.BatchFinished();
      sequence_.try_put(sample.slot);
      CountCrossing(*sample.slot);
    }
  }

  // Gives batches to their lanes in order; those that come early wait for the ones before them.
  // (A sequencer_node does the same, but takes no priority.)
  void Sequence(Slot* slot) noexcept {
    Guard(Stage::kSequence, slot, StageCall::kWholeBatch, [&] {
      early_[slot->batch().sequence] = slot;
      while (!early_.empty() && early_.begin()->first == next_sequence_) {
        Slot* const next = early_.begin()->second;
        early_.erase(early_.begin());
        ++next_sequence_;
        lanes_[next->batch().lane]->node->try_put(next);
      }
    });
  }

  // Copy and train step run on the lane's thread, and the graph counts the node as busy until both
  // are done. The thread goes from one to the other by itself: if a message had to bring the slot
  // there, the device would wait until a worker has finished its sample.
  void AddLane(LaneWork& work) {
    lanes_.push_back(std::make_unique<Lane>());
    Lane& lane = *lanes_.back();
    lane.thread = std::make_unique<LaneThread>(
        [this, &lane](std::int64_t ns) {
          stats_.RecordDataWait(ns);
          lane.waited_ns += ns;
        },
        [&work] { return work.Busy(); });
    lane.node = std::make_unique<LaneNode>(
        chains_.front()->graph,
        flow::serial,  // serial nodes keep the order in which messages arrive
        [this, &work, &lane](Slot* slot, LaneNode::gateway_type& gateway) {
          gateway.reserve_wait();
          lane.thread->Add([this, &work, &lane, slot, &gateway] {
            GrowIfLate(lane, *slot);
            if (!Guard(Stage::kCopy, slot, StageCall::kWholeBatch, [&] { work.Copy(*slot); })) {
              gateway.release_wait();
              return;
            }
            const auto step = [this, &work, &lane, slot, &gateway] {
              if (TrainStep(work, lane, slot)) GiveBack(slot);
              gateway.release_wait();
            };
            if (work.CopiesAhead()) {
              lane.thread->AddStep(step);
            } else {
              step();
            }
          });
        },
        kLanePriority);
  }

  bool TrainStep(LaneWork& work, Lane& lane, Slot* slot) noexcept {
    stats_.StepBegins();
    const std::int64_t begin_ns = NowNs();
    const bool go_on =
        Guard(Stage::kTrainStep, slot, StageCall::kWholeBatch, [&] { work.TrainStep(*slot); });
    lane.step_begin_ns = begin_ns;
    const std::int64_t end_ns = NowNs();
    lane.step_ns = end_ns - begin_ns;
    growth_.StepEnded();
    stats_.StepEnds();
    if (go_on && slot->batch().phase == stages::Phase::kTrain) {
      Tell(on_workers_, limit_.StepEnded(end_ns, stats_.SampleStagesNs()));
    }
    return go_on;
  }

  template <typename Change>
  void Tell(const std::function<void(const Change&)>& listener,
            const std::optional<Change>& change) noexcept {
    try {
      if (change && listener) listener(*change);
    } catch (...) {
      stop_.Fail(std::current_exception());
    }
  }

  // Uses more workers and makes more slots if the lane's wait for `slot` shows that they are
  // needed. On the lane's thread, where a device's memory is at hand.
  void GrowIfLate(Lane& lane, const Slot& slot) noexcept {
    const std::int64_t waited_ns = std::exchange(lane.waited_ns, 0);
    // Before the first step everybody waits.
    if (waited_ns == 0 || lane.step_ns == 0 || stop_.stopped()) return;
    if (slot.batch().phase != stages::Phase::kTrain) {
      growth_.LaneWaitedInEvaluation();
      limit_.LaneWaitedInEvaluation();
      return;
    }
    // A device that works on when the call has returned was at its step until the waiting began.
    const std::int64_t step_ns = std::max(lane.step_ns, NowNs() - waited_ns - lane.step_begin_ns);
    Tell(on_workers_, limit_.LaneWaited(waited_ns, step_ns));
    const auto growth = growth_.LaneWaited(waited_ns, step_ns);
    if (!growth) return;
    std::vector<std::unique_ptr<Slot>> made;
    try {
      for (std::uint32_t number = growth->before; number < growth->now; ++number) {
        made.push_back(make_slot_(number));
      }
    } catch (...) {
      return;  // no memory for them: they are a help, not a need
    }
    {
      const std::lock_guard lock(slots_mutex_);
      for (auto& one : made) {
        slots_.push_back(std::move(one));
        GiveBack(slots_.back().get());
      }
    }
    Tell(on_more_slots_, growth);
  }

  const std::function<std::optional<Batch>()>& next_batch_;
  SampleWork& samples_;
  Stop& stop_;
  StageStats& stats_;
  StageTrace* const trace_;
  const std::function<std::unique_ptr<Slot>(std::uint32_t number)> make_slot_;
  const std::function<void(const MoreSlots&)> on_more_slots_;
  const std::function<void(const WorkersAtWork&)> on_workers_;
  SlotGrowth growth_;
  WorkerLimit limit_;
  std::mutex slots_mutex_;  // of slots_, once the graph runs
  std::vector<std::unique_ptr<Slot>> slots_;

  std::mutex plan_mutex_;  // of next_batch_ and the samples' keys
  std::vector<std::unique_ptr<Chain>> chains_;
  std::atomic<std::uint64_t> crossings_{0};
  flow::function_node<Slot*> sequence_;
  std::map<std::uint64_t, Slot*> early_;  // by sequence; touched by sequence_ alone
  std::uint64_t next_sequence_ = 0;       // the same
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace

void RunGraph(const GraphOptions& options, const std::function<std::optional<Batch>()>& next_batch,
              SampleWork& samples, const std::vector<LaneWork*>& lanes, Stop& stop,
              StageStats& stats) {
  MILLRACE_CHECK(options.workers > 0 && options.num_slots > 0 && !lanes.empty());
  // oneTBB would otherwise make no more workers than there are cores. The calling thread is one of
  // those that it counts.
  const oneapi::tbb::global_control allow(
      oneapi::tbb::global_control::max_allowed_parallelism,
      std::max(static_cast<std::size_t>(options.workers) + 1,
               oneapi::tbb::global_control::active_value(
                   oneapi::tbb::global_control::max_allowed_parallelism)));
  Graph(options, next_batch, samples, lanes, stop, stats).Run();
  stop.Rethrow();
}

}  // namespace millrace::pipeline
