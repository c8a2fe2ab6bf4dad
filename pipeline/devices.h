// The devices of one process: what --devices says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/process.h"
#include "pipeline/placement.h"

namespace millrace::pipeline {

// One lane each.
struct Devices {
  std::uint32_t cpu_lanes = 1;  // where there are no GPUs
  std::vector<int> gpus;        // their numbers as CUDA counts them; not empty: lanes are on GPUs
  // This process's part of the machine beside them: cores, and one of so many equal parts of the
  // memory.
  int cores = AvailableCores();
  std::uint32_t sharing = 1;
  // What was chosen without being asked, and why, in a line for people; "" otherwise.
  std::string choice;

  // "auto": all GPUs that there are, otherwise the CPU. "cpu", "cpu:2": lanes on the CPU. "cuda":
  // the first GPU; "cuda:all"; "cuda:0", "cuda:0,2": these. Throws Error (exit code 2) for anything
  // else, and when there is no such GPU.
  static Devices Parse(const std::string& text);

  std::uint32_t lanes() const {
    return gpus.empty() ? cpu_lanes : static_cast<std::uint32_t>(gpus.size());
  }
  // As Parse() reads it: "cpu:1", "cuda:0,2".
  std::string Text() const;
};

// What is left to a process among those of its machine (CoresOfProcess, GpusOfProcess); GPUs that
// somebody named are each process's own. Throws Error (exit code 2) when they cannot be shared out.
Devices ShareOf(const Devices& devices, const Placement& placement);

// What the lanes compute with, by which a run can differ in its last bits: "cpu", "NVIDIA H100".
std::string DeviceName(const Devices& devices);

// Where each GPU of the lanes is, in their order: "0000:65:00.0".
std::vector<std::string> BusIds(const Devices& devices);

}  // namespace millrace::pipeline
