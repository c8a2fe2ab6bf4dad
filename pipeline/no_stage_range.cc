#include "pipeline/stage_range.h"

namespace millrace::pipeline {

StageRange::StageRange(Stage) {}
StageRange::~StageRange() = default;

}  // namespace millrace::pipeline
