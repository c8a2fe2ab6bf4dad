// The message of the sample stages: which sample goes to which place of which slot. Pixels never
// travel in messages.
#pragma once

#include <cstdint>
#include <functional>

#include "base/random.h"
#include "stages/slot.h"

namespace millrace::stages {

// One sample of a batch. Small and copyable; the slot outlives it.
struct Sample {
  Slot* slot = nullptr;
  std::uint32_t index = 0;  // its place in the batch
  RandomKey key;  // of its augmentation; key.sample_id says which sample of the split it is
};

// Makes the pixels of a sample on the CPU, where the device finds that it cannot. Throws Error
// where its bytes are damaged.
using DecodeOnHost =
    std::function<void(const Slot& slot, std::uint32_t index, std::uint8_t* pixels)>;

}  // namespace millrace::stages
