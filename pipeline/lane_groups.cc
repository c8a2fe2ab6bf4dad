#include "pipeline/lane_groups.h"

#include <c10/util/Exception.h>

#include <exception>
#include <mutex>
#include <string>

#include "base/error.h"

namespace millrace::pipeline {

LaneGroups::LaneGroups(const World& world, const std::vector<Replica>& replicas, bool trains,
                       const Stop& stop) {
  groups_.resize(replicas.size());
  if (world.world_size == 1) {
    groups_[0] = std::make_unique<LaneGroup>();
    return;
  }
  std::mutex mutex;
  std::exception_ptr failure;
  {
    // Each waits until all are there.
    std::vector<std::jthread> threads;
    for (std::size_t lane = 0; lane < replicas.size(); ++lane) {
      threads.emplace_back([&, lane] {
        try {
          groups_[lane] = std::make_unique<LaneGroup>(
              model::ProcessGroupOptions{
                  .store = world.store.Within("ranks").Clone(),
                  .rank = world.first_rank + static_cast<std::uint32_t>(lane),
                  .world_size = world.world_size,
                  .device = replicas[lane].device,
                  .address = world.address,
                  .timeout = world.timeout},
              *replicas[lane].network, trains);
        } catch (const c10::Error& error) {
          const std::lock_guard lock(mutex);
          const std::string text = error.what_without_backtrace();
          if (!failure) failure = std::make_exception_ptr(Error(text.substr(0, text.find('\n'))));
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
        }
      });
    }
  }
  if (failure) std::rethrow_exception(failure);
  closer_ =
      std::jthread([this, &stop](const std::stop_token& over) { CloseWhenStopped(over, stop); });
}

LaneGroups::~LaneGroups() = default;

void LaneGroups::CloseWhenStopped(const std::stop_token& over, const Stop& stop) {
  constexpr auto kPoll = std::chrono::milliseconds(50);
  // Where all ranks end behind the same step nobody waits: they get the time to end it.
  constexpr auto kGrace = std::chrono::milliseconds(500);
  while (!stop.stopped()) {
    if (over.stop_requested()) return;
    std::this_thread::sleep_for(kPoll);
  }
  std::this_thread::sleep_for(kGrace);
  std::vector<bool> closed(groups_.size(), false);
  while (!over.stop_requested()) {
    for (std::size_t lane = 0; lane < groups_.size(); ++lane) {
      const std::unique_lock turn(groups_[lane]->turn(), std::try_to_lock);
      if (!turn || closed[lane]) continue;
      groups_[lane]->Close();
      closed[lane] = true;
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace millrace::pipeline
