// Where a number stands in TensorBoard and at trackers: tags and axes as PyTorch-Ignite's ImageNet
// example has them, so that runs of both can be laid over each other, and what nodes use as
// MLflow's own client calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tracking/event.h"

namespace millrace::tracking {

inline constexpr std::string_view kLossTag = "training/supervised batch loss";
inline constexpr std::string_view kAccuracyTag = "validation/Accuracy";

// Of scalars that tell what a node uses. These and the names below are MLflow's, whose pages have a
// place of their own for them; the last two are ours in its manner.
inline constexpr std::string_view kSystemGroup = "system";
inline constexpr std::string_view kCpuUse = "cpu_utilization_percentage";
inline constexpr std::string_view kMemoryUse = "system_memory_usage_megabytes";
inline constexpr std::string_view kMemoryUseShare = "system_memory_usage_percentage";
inline constexpr std::string_view kDiskUse = "disk_usage_megabytes";
inline constexpr std::string_view kDiskUseShare = "disk_usage_percentage";
inline constexpr std::string_view kDiskFree = "disk_available_megabytes";
inline constexpr std::string_view kReceived = "network_receive_megabytes";
inline constexpr std::string_view kSent = "network_transmit_megabytes";
inline constexpr std::string_view kDiskRead = "disk_read_megabytes";
inline constexpr std::string_view kDiskWritten = "disk_write_megabytes";

// Of one GPU among those of its node.
inline constexpr std::string_view kGpuUse = "utilization_percentage";
inline constexpr std::string_view kGpuMemoryUse = "memory_usage_megabytes";
inline constexpr std::string_view kGpuMemoryUseShare = "memory_usage_percentage";
inline constexpr std::string_view kGpuPower = "power_usage_watts";
inline constexpr std::string_view kGpuPowerShare = "power_usage_percentage";
// "gpu_0_utilization_percentage"
std::string GpuValue(std::size_t gpu, std::string_view name);

// "node_1", where a run has several.
std::string NodeName(std::size_t node);

struct Place {
  std::string tag;
  std::uint64_t x = 0;  // the epoch of evaluations, the step of all else
};

// Of the value called `name` in `scalars`.
Place PlaceOf(const Scalars& scalars, std::string_view name);

}  // namespace millrace::tracking
