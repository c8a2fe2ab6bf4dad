// What differs between the devices of lanes: how batches get there and how results come back.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "stages/device_batch.h"
#include "stages/slot.h"

namespace millrace::pipeline {

// Tensors on their way from a device to the CPU.
class Fetch {
 public:
  virtual ~Fetch() = default;
  // Waits until they have come. Any thread, one at a time.
  virtual const std::vector<at::Tensor>& Wait() = 0;
};

// The device of one lane. All methods are called on the lane's thread, Enter() first.
class LaneDevice {
 public:
  virtual ~LaneDevice() = default;

  virtual c10::Device device() const = 0;
  // LaneWork::CopiesAhead() of its lane (graph.h). Where that is so, work is queued: results of a
  // step are there later than its calls return.
  virtual bool CopiesAhead() const = 0;
  // Whether it still computes what was queued. Does not throw.
  virtual bool Busy() const noexcept = 0;

  // Makes the calling thread the lane's.
  virtual void Enter() = 0;

  // Starts to bring a batch to the device, and gives the oldest that was started, ready for what
  // the thread queues next; valid until the next one is given.
  virtual void Copy(stages::Slot& slot) = 0;
  virtual stages::DeviceBatch Take() = 0;
  // Returns when nothing reads the slot of the batch that was given last any more.
  virtual void WaitUntilRead() = 0;

  // Runs `step`, which does the same with every batch of one size and changes nothing but `state`
  // and gradients, or replays what it did before. Returns what it returns, valid until the next
  // call.
  using Step = std::function<at::Tensor(const stages::DeviceBatch& batch)>;
  virtual at::Tensor Repeat(const stages::DeviceBatch& batch, const Step& step,
                            const std::vector<at::Tensor>& state) = 0;

  // Starts to bring tensors to the CPU, as they are when all that is queued has been done.
  virtual std::unique_ptr<Fetch> StartFetch(std::vector<at::Tensor> tensors) = 0;
};

// Calls `body`, which works on the device. What LibTorch throws there is thrown on as an Error that
// names the device and, where memory was lacking, says what needs less.
void RunOnDevice(const LaneDevice& device, const std::function<void()>& body);

}  // namespace millrace::pipeline
