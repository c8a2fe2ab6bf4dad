// A small flow graph of the same kinds of nodes as the pipeline's: parallel work into slots,
// restored order, a blocking step on a thread of its own, slots given back. Without arguments it is
// correct and ThreadSanitizer must stay silent; with "race" its workers also count without a lock,
// which ThreadSanitizer must report. Both hold only when oneTBB itself is instrumented: Debian's
// library makes the correct graph look racy.
#include <oneapi/tbb/flow_graph.h>

#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <numeric>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace flow = oneapi::tbb::flow;

constexpr std::size_t kSlots = 8;
constexpr std::size_t kMessages = 500;
constexpr std::size_t kSlotSize = 64;
constexpr int kRepeats = 20;

struct Message {
  std::size_t index = 0;
  std::size_t slot = 0;
};

// Runs what is posted, in order, on its own thread; the destructor finishes the queue.
class Lane {
 public:
  Lane() : thread_([this] { Run(); }) {}
  ~Lane() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void Post(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(job));
    }
    changed_.notify_one();
  }

 private:
  void Run() {
    for (;;) {
      std::function<void()> job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        job = std::move(queue_.front());
        queue_.pop_front();
      }
      job();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

// Sends kMessages through the graph; false when one was lost, out of order or wrong. `racy_count`
// is the planted race.
bool RunGraph(std::size_t* racy_count) {
  std::vector<std::vector<std::size_t>> slots(kSlots, std::vector<std::size_t>(kSlotSize));
  std::size_t total = 0;
  std::size_t next_index = 0;
  std::size_t sent = 0;
  bool ordered = true;

  flow::graph graph;
  flow::function_node<Message, Message> work(graph, flow::unlimited, [&](Message message) {
    for (std::size_t& value : slots[message.slot]) value = message.index;
    if (racy_count != nullptr) ++*racy_count;
    return message;
  });
  flow::sequencer_node<Message> sequence(graph,
                                         [](const Message& message) { return message.index; });
  Lane lane;
  using StepNode = flow::async_node<Message, Message>;
  StepNode step(graph, flow::serial, [&](const Message& message, StepNode::gateway_type& gateway) {
    gateway.reserve_wait();
    lane.Post([&, message] {
      ordered = ordered && message.index == next_index++;
      total = std::accumulate(slots[message.slot].begin(), slots[message.slot].end(), total);
      gateway.try_put(message);
      gateway.release_wait();
    });
  });
  flow::function_node<Message> give_back(graph, flow::serial, [&](const Message& message) {
    if (sent < kMessages) work.try_put({.index = sent++, .slot = message.slot});
    return flow::continue_msg();
  });
  flow::make_edge(work, sequence);
  flow::make_edge(sequence, step);
  flow::make_edge(step, give_back);

  // `sent` belongs to give_back as soon as the first message is on its way.
  sent = kSlots;
  for (std::size_t slot = 0; slot < kSlots; ++slot) work.try_put({.index = slot, .slot = slot});
  graph.wait_for_all();
  return ordered && next_index == kMessages && total == kSlotSize * kMessages * (kMessages - 1) / 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t racy_count = 0;
  const bool race = argc > 1 && std::string_view(argv[1]) == "race";
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    if (!RunGraph(race ? &racy_count : nullptr)) {
      std::puts("the graph lost or reordered a message");
      return 1;
    }
  }
  std::printf("%d graphs of %zu messages done\n", kRepeats, kMessages);
  return 0;
}
