// Which samples make a batch and what the batch is for: decided by the plan, read by every later
// stage.
#pragma once

#include <cstdint>

namespace millrace::stages {

// What a batch is for, and so which of the recipe's loaders it comes from.
enum class Phase : std::uint8_t {
  kTrain,      // [data.train]: a part of a step
  kTrainEval,  // [data.train_eval]: evaluated, as training samples are made
  kEvaluate,   // [data.val]: evaluated
};

// One batch of one lane. Plain data.
struct Batch {
  std::uint64_t sequence =
      0;  // position among all batches of this process; lanes receive theirs in this order
  Phase phase = Phase::kTrain;
  std::uint32_t lane = 0;   // which of this process's lanes consumes it
  std::uint32_t epoch = 0;  // counted from 0; of an evaluation: the epoch it follows
  std::uint64_t step =
      0;  // the global step it belongs to; of an evaluation: the steps done before it
  std::uint32_t micro_batch = 0;  // which part of the step's accumulation
  std::uint32_t piece = 0;        // which per-device part of the global batch (training)
  std::uint64_t first_position =
      0;                   // its samples are the positions [first_position, first_position + size)
  std::uint32_t size = 0;  // [samples]
  std::uint64_t global_batch = 0;  // of its step, all pieces together (training) [samples]
  bool last = false;  // the lane's last batch of this step (training) or of this evaluation
};

}  // namespace millrace::stages
