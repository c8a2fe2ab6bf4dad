#include "pipeline/devices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "pipeline/gpus.h"

namespace millrace::pipeline {
namespace {

constexpr std::uint32_t kMaxCpuLanes = 64;

std::optional<std::uint32_t> Number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

[[noreturn]] void RefuseText(const std::string& text) {
  FailUsage(
      "--devices {}: write cpu or cpu:N with N from 1 to {}, cuda:all, or the numbers of GPUs as "
      "in "
      "cuda:0 or cuda:0,2",
      text, kMaxCpuLanes);
}

// "0,2", each once.
std::vector<int> Numbers(std::string_view list, const std::string& text) {
  std::vector<int> numbers;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const auto number = Number(list.substr(begin, end - begin));
    if (!number || *number > 1023) RefuseText(text);
    numbers.push_back(static_cast<int>(*number));
    begin = end + 1;
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (std::find(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(i), numbers[i]) !=
        numbers.begin() + static_cast<std::ptrdiff_t>(i)) {
      FailUsage("--devices {}: names GPU {} twice", text, numbers[i]);
    }
  }
  return numbers;
}

std::vector<int> AllOf(const Gpus& gpus) {
  std::vector<int> numbers;
  for (std::size_t i = 0; i < gpus.names.size(); ++i) numbers.push_back(static_cast<int>(i));
  return numbers;
}

Devices Choose() {
  const Gpus gpus = FindGpus();
  Devices devices;
  devices.gpus = AllOf(gpus);
  devices.choice = gpus.names.empty()
                       ? fmt::format("computing on the CPU: {}", gpus.problem)
                       : fmt::format("computing on {} ({})", devices.Text(), gpus.names.front());
  return devices;
}

}  // namespace

Devices Devices::Parse(const std::string& text) {
  if (text == "auto") return Choose();
  if (text == "cpu") return {};
  if (text.starts_with("cpu:")) {
    const auto lanes = Number(std::string_view(text).substr(4));
    if (!lanes || *lanes < 1 || *lanes > kMaxCpuLanes) RefuseText(text);
    Devices devices;
    devices.cpu_lanes = *lanes;
    return devices;
  }
  if (text != "cuda" && !text.starts_with("cuda:")) RefuseText(text);
  const bool all = text == "cuda:all";
  std::vector<int> wanted;
  if (text == "cuda") {
    wanted = {0};
  } else if (!all) {
    wanted = Numbers(std::string_view(text).substr(5), text);
  }
  const Gpus gpus = FindGpus();
  if (gpus.names.empty()) {
    FailUsage("--devices {}: {}; {}use --devices cpu", text, gpus.problem,
              gpus.remedy.empty() ? "" : gpus.remedy + ", or ");
  }
  Devices devices;
  devices.gpus = all ? AllOf(gpus) : wanted;
  for (const int gpu : devices.gpus) {
    if (gpu >= static_cast<int>(gpus.names.size())) {
      FailUsage("--devices {}: there is no GPU {}; CUDA shows this process {}, counted from 0",
                text, gpu, gpus.names.size());
    }
  }
  return devices;
}

std::string Devices::Text() const {
  return gpus.empty() ? fmt::format("cpu:{}", cpu_lanes)
                      : fmt::format("cuda:{}", fmt::join(gpus, ","));
}

Devices ShareOf(const Devices& devices, const Placement& placement) {
  Devices own = devices;
  own.cores = CoresOfProcess(devices.cores, placement);
  own.sharing = placement.num_local_processes;
  if (own.sharing == 1 || devices.choice.empty() || devices.gpus.empty()) return own;
  own.gpus = GpusOfProcess(devices.gpus, placement);
  own.choice +=
      fmt::format("; process {} of this machine on {}", placement.local_process, own.Text());
  return own;
}

std::string DeviceName(const Devices& devices) {
  if (devices.gpus.empty()) return "cpu";
  return FindGpus().names.at(static_cast<std::size_t>(devices.gpus.front()));
}

std::vector<std::string> BusIds(const Devices& devices) {
  const Gpus all = FindGpus();
  std::vector<std::string> bus_ids;
  for (const int gpu : devices.gpus) {
    bus_ids.push_back(all.bus_ids.at(static_cast<std::size_t>(gpu)));
  }
  return bus_ids;
}

}  // namespace millrace::pipeline
