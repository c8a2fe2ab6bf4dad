// The graph: one oneTBB flow graph in which read, decode, augment, copy and train step of different
// batches overlap.
//
//   plan -> read -> decode -> augment -> collate -> sequence -> copy -> train_step (per lane)
//     ^                                                                    |
//     +--------------------------- slot given back -----------------------+
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "pipeline/slot_growth.h"
#include "pipeline/stage_stats.h"
#include "pipeline/stage_trace.h"
#include "pipeline/stop.h"
#include "pipeline/worker_groups.h"
#include "pipeline/worker_limit.h"
#include "stages/batch.h"
#include "stages/sample.h"
#include "stages/slot.h"

namespace millrace::pipeline {

// What the sample stages do. One object serves all workers: every method is called from many
// threads at once, for different samples. Whatever they throw ends the run.
class SampleWork {
 public:
  virtual ~SampleWork() = default;

  // The size of the largest pictures of this phase; 0 x 0: there are none.
  virtual stages::Size PictureSize(stages::Phase phase) const = 0;
  // The size of every picture of a batch.
  virtual stages::Size PictureSizeOf(const stages::Batch& batch) const {
    return PictureSize(batch.phase);
  }
  // The random key of the sample at `position` of the batch's epoch and phase; its sample_id says
  // which one it is. Called by one thread at a time.
  virtual RandomKey KeyAt(const stages::Batch& batch, std::uint64_t position) = 0;

  // The same for the sample's place in its slot, once its key is known. Called like KeyAt.
  virtual void Plan(const stages::Sample&) {}

  virtual void Read(const stages::Sample& sample) = 0;
  virtual void Decode(const stages::Sample& sample) = 0;
  virtual void Augment(const stages::Sample& sample) = 0;
};

// What one lane does with finished batches. Copy and TrainStep are called from the lane's own
// thread only, batches in sequence. Whatever they throw ends the run.
class LaneWork {
 public:
  virtual ~LaneWork() = default;

  // Whether batches that are ready are copied before the train steps of earlier ones (two at most,
  // lane_thread.h): right for a device that copies while it computes. A lane that computes where it
  // copies gains nothing and would only have more batches in memory: its Copy is followed by
  // TrainStep of the same batch.
  virtual bool CopiesAhead() const { return true; }

  // Whether the device still computes what it was given: a lane's thread that has nothing to do
  // waits for data only from then on.
  virtual bool Busy() const noexcept { return false; }

  // Brings the batch to the device.
  virtual void Copy(stages::Slot& slot) = 0;
  // Consumes it: a training step or an evaluation, as its phase says. When it returns, the slot is
  // free.
  virtual void TrainStep(const stages::Slot& slot) = 0;
};

struct GraphOptions {
  int workers = 1;  // threads for the sample stages
  // So few of them are used where lanes need no more (WorkerLimit); 0: all, always.
  int least_workers = 0;
  std::function<void(const WorkersAtWork&)> on_workers = {};  // told by a lane
  // The same in groups, each of which makes batches of its own; not more than there are slots.
  // Empty: all together.
  std::vector<WorkerGroup> groups = {};
  // Batches in flight at most, at the beginning; more hides longer hiccups and costs memory.
  std::uint32_t num_slots = 4;
  // So many are made where lanes wait for what a longer reserve would have had ready (SlotGrowth);
  // not more than num_slots: none.
  std::uint32_t max_slots = 0;
  std::function<void(const MoreSlots&)> on_more_slots = {};  // told by a lane
  std::uint32_t max_batch = 0;                               // [samples]
  std::size_t max_image_bytes = 0;  // [bytes] of the largest finished picture
  stages::PixelAllocator allocate = stages::AllocatePageable;
  StageTrace* trace = nullptr;  // keeps every call; nullptr: nothing does
};

// Runs batches from `next_batch` through the stages and the lanes until it yields none, `stop` is
// set, or something fails; then all nodes are idle and all slots free. Throws the first failure.
// Blocks. `next_batch` is called by one thread at a time.
void RunGraph(const GraphOptions& options,
              const std::function<std::optional<stages::Batch>()>& next_batch, SampleWork& samples,
              const std::vector<LaneWork*>& lanes, Stop& stop, StageStats& stats);

}  // namespace millrace::pipeline
