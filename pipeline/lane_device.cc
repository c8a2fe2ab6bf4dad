#include "pipeline/lane_device.h"

#include <c10/util/Exception.h>

#include <string>

#include "base/error.h"

namespace millrace::pipeline {
namespace {

// LibTorch's messages go on with hints for Python and lines of where they were thrown.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

void RunOnDevice(const LaneDevice& device, const std::function<void()>& body) {
  try {
    body();
  } catch (const c10::OutOfMemoryError& error) {
    Fail(
        "{} has not enough memory; a smaller batch.per_device or batch.evaluate_per_device needs "
        "less ({})",
        device.device().str(), FirstLine(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    Fail("{}: {}", device.device().str(), FirstLine(error.what_without_backtrace()));
  }
}

}  // namespace millrace::pipeline
