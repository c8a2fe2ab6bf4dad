#include "pipeline/slot_growth.h"

#include <algorithm>

#include "base/check.h"

namespace millrace::pipeline {
namespace {

// Waits of less than one part in so many of a step are not worth the memory of a batch.
constexpr std::int64_t kNegligible = 100;

}  // namespace

SlotGrowth::SlotGrowth(std::uint32_t slots, std::uint32_t most, std::uint32_t lanes)
    : most_(most), lanes_(lanes), slots_(slots) {
  MILLRACE_CHECK(slots > 0 && lanes > 0);
}

void SlotGrowth::BatchFinished() {
  const std::lock_guard lock(mutex_);
  if (++finished_ == slots_) was_full_ = true;
}

void SlotGrowth::StepEnded() {
  const std::lock_guard lock(mutex_);
  --finished_;
}

std::optional<MoreSlots> SlotGrowth::LaneWaited(std::int64_t waited_ns, std::int64_t step_ns) {
  if (waited_ns <= step_ns / kNegligible) return {};
  const std::lock_guard lock(mutex_);
  if (!was_full_ || slots_ >= most_) return {};
  was_full_ = false;
  const std::int64_t steps = waited_ns / std::max<std::int64_t>(step_ns, 1) + 1;
  // Doubled at most: one long pause of the whole machine is not the rule.
  const std::int64_t more = std::min({steps * lanes_, static_cast<std::int64_t>(slots_),
                                      static_cast<std::int64_t>(most_ - slots_)});
  const MoreSlots growth{.before = slots_,
                         .now = slots_ + static_cast<std::uint32_t>(more),
                         .waited_ns = waited_ns,
                         .step_ns = step_ns};
  slots_ = growth.now;
  return growth;
}

void SlotGrowth::LaneWaitedInEvaluation() {
  const std::lock_guard lock(mutex_);
  was_full_ = false;
}

}  // namespace millrace::pipeline
