// Ranks of one process, a thread each, for tests of what they do together.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "model/process_group.h"

namespace millrace::model {

// Calls `work(rank)` on a thread for each rank and throws the failure of the lowest rank that has
// one.
inline void OnRanks(std::uint32_t ranks, const std::function<void(std::uint32_t)>& work) {
  std::vector<std::exception_ptr> failures(ranks);
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          work(rank);
        } catch (...) {
          failures[rank] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

// The same, with a group over all of them. At another address than that of one machine, "localhost"
// for one, ranks behave as between machines.
inline void InGroup(std::uint32_t ranks, const std::function<void(ProcessGroup&)>& work,
                    const std::string& address = "127.0.0.1") {
  const Store store = Store::InProcess();
  OnRanks(ranks, [&](std::uint32_t rank) {
    ProcessGroup group({.store = store, .rank = rank, .world_size = ranks, .address = address});
    work(group);
    // Nobody leaves while others still read.
    store.Add("done", 1);
    while (store.Add("done", 0) < ranks) std::this_thread::yield();
  });
}

}  // namespace millrace::model
