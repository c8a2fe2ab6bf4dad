// Memory in which the ranks of one machine average their gradients, without sockets.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/alive.h"
#include "base/shared_memory.h"
#include "base/shared_rounds.h"

namespace millrace::model {

// Tensors that every rank maps, be they threads of one process or processes. To average
// them, each rank adds up its part of every tensor for all, in the order of the ranks: the bits of
// a mean follow from the gradients alone, and each number is read and written once by one rank.
//
// All ranks make the same calls in the same order, each on one thread; but Leave() is for any.
// Errors: LostMember, and what SharedMemory throws.
class RankMemory {
 public:
  // `store` is used by nobody else. Returns when this rank counts as alive.
  RankMemory(const c10::intrusive_ptr<c10d::Store>& store, std::uint32_t rank,
             std::uint32_t world_size, std::chrono::milliseconds timeout);
  ~RankMemory();
  RankMemory(const RankMemory&) = delete;
  RankMemory& operator=(const RankMemory&) = delete;

  // Moves the storage of `tensor`, with what is in it, to memory that all ranks map: its pointer
  // changes, for all tensors on that storage. It may outlive this object. REQUIRES: on the CPU;
  // contiguous, from the beginning of its storage; not empty; CanAverage()
  void Share(const at::Tensor& tensor);
  static bool CanAverage(at::ScalarType type) { return type == at::kFloat || type == at::kDouble; }

  // Begins to make `tensor` the mean over ranks: it must not be touched until FinishMeans(). What
  // all ranks have begun is worked on here. REQUIRES: it went through Share()
  void StartMean(const at::Tensor& tensor);
  // Returns when all that was begun is done, on all ranks.
  void FinishMeans();

  // Nobody waits for this rank any more, nor it for others.
  void Leave() noexcept { rounds_->Leave(); }

 private:
  struct Block;

  std::shared_ptr<Block> Find(const at::Tensor& tensor);
  void Average(const Block& block) const;
  template <typename T>
  void AverageAs(const Block& block) const;

  const c10::intrusive_ptr<c10d::Store> store_;
  const std::uint32_t rank_;
  const std::uint32_t world_size_;
  std::unique_ptr<SharedMemory> lines_;
  std::unique_ptr<Alive> alive_;
  std::unique_ptr<SharedRounds> rounds_;
  std::uint32_t shared_ = 0;
  std::map<const void*, std::weak_ptr<Block>> blocks_;  // by their place in this process
  std::deque<std::shared_ptr<Block>> under_way_;  // from the round that is to be finished next
};

}  // namespace millrace::model
