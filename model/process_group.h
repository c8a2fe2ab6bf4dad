// The ranks of one run as one of them sees them: what it sends to the others and gets from them.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/store.h"

namespace millrace::model {

// Another rank is out of reach: it has ended, failed or did not come in time. Mostly a consequence
// of what happened there, which its own error tells.
class LostRank : public Error {
 public:
  using Error::Error;
};

struct ProcessGroupOptions {
  Store store;  // the same for all ranks, and used by nobody else
  std::uint32_t rank = 0;
  std::uint32_t world_size = 1;
  c10::Device device = c10::kCPU;  // of the tensors: GPUs talk through NCCL
  // The address of this machine at which the others reach this rank. "127.0.0.1" when all are on
  // this machine: no port is then open to others, and CPUs average through memory that all map. "":
  // what the machine's name means.
  std::string address = "127.0.0.1";
  // How long one call may wait for the others.
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
};

// c10d's process group over Gloo, with NCCL for tensors on GPUs. All ranks make the same calls in
// the same order, each on one thread; a call ends when this rank's part of it is done. Errors:
// LostRank; from then on nothing but Close() is of use.
class ProcessGroup {
 public:
  // Returns when all ranks are there and connected.
  explicit ProcessGroup(const ProcessGroupOptions& options);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  std::uint32_t rank() const { return rank_; }
  std::uint32_t world_size() const { return world_size_; }

  // The numbers of every rank, by rank. REQUIRES: as many on each
  std::vector<std::vector<std::int64_t>> AllGather(std::span<const std::int64_t> numbers);
  // The same for a tensor on the group's device: [ranks, ...]. On GPUs it is there for what is
  // queued next. REQUIRES: the same shape and type on every rank
  at::Tensor AllGather(const at::Tensor& tensor);
  // Overwrites the tensors, on the group's device, with rank 0's. REQUIRES: the same shapes and
  // types on every rank
  void ShareFirst(const std::vector<at::Tensor>& tensors);
  // From one rank to another, beside what all do together. `numbers` has the size that is sent.
  void Send(std::span<const std::int64_t> numbers, std::uint32_t to);
  void Receive(std::span<std::int64_t> numbers, std::uint32_t from);

  // Ends the connections, so that no rank waits for this one any more: theirs become LostRank. On
  // the thread of the calls, or while none is under way.
  void Close() noexcept;

  struct Impl;  // c10d_types.h
  Impl& impl();

 private:
  const std::uint32_t rank_;
  const std::uint32_t world_size_;
  std::unique_ptr<Impl> impl_;  // nullptr: closed
};

// Calls `body`, which talks to other ranks for `what` ("the gradients"). What fails between ranks
// there is thrown on as LostRank, everything else as it is.
void BetweenRanks(const std::string& what, const std::function<void()>& body);

}  // namespace millrace::model
