#include <nvtx3/nvToolsExt.h>

#include <array>
#include <string>

#include "pipeline/stage_range.h"

namespace millrace::pipeline {
namespace {

// Ranges of the program stand apart from those of libraries.
nvtxDomainHandle_t Domain() {
  static nvtxDomainHandle_t domain = nvtxDomainCreateA("millrace");
  return domain;
}

// Tools are told of each name once and know it by a handle from then on.
nvtxStringHandle_t NameOf(Stage stage) {
  static const std::array names = [] {
    std::array<nvtxStringHandle_t, kNumStages> handles{};
    for (std::size_t i = 0; i < kNumStages; ++i) {
      const std::string name(StageName(static_cast<Stage>(i)));
      handles[i] = nvtxDomainRegisterStringA(Domain(), name.c_str());
    }
    return handles;
  }();
  return names[static_cast<std::size_t>(stage)];
}

}  // namespace

StageRange::StageRange(Stage stage) {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
  attributes.message.registered = NameOf(stage);
  nvtxDomainRangePushEx(Domain(), &attributes);
}

StageRange::~StageRange() { nvtxDomainRangePop(Domain()); }

}  // namespace millrace::pipeline
