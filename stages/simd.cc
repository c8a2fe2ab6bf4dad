#include "stages/simd.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include "base/check.h"

namespace millrace::stages {

std::vector<std::string> SimdTargets() {
  std::vector<std::string> names;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

bool HasSimd() {
  const std::string best = SimdTargets().front();
  return best != hwy::TargetName(HWY_SCALAR) && best != hwy::TargetName(HWY_EMU128);
}

void UseSimdTarget(const std::string& target) {
  if (target.empty()) return hwy::GetChosenTarget().DeInit();
  for (const auto candidate : hwy::SupportedAndGeneratedTargets()) {
    if (target != hwy::TargetName(candidate)) continue;
    return hwy::GetChosenTarget().Update(candidate);
  }
  MILLRACE_CHECK(false && "unknown SIMD target");
}

}  // namespace millrace::stages
