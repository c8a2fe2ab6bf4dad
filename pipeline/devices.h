// The devices of one process: what --devices says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::pipeline {

// One lane each.
struct Devices {
  std::uint32_t cpu_lanes = 1;  // where there are no GPUs
  std::vector<int> gpus;        // their numbers as CUDA counts them; not empty: lanes are on GPUs
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

// The first of several GPUs where nobody asked for more. Throws Error (exit code 2) where somebody
// did: gradients are not averaged over GPUs yet.
Devices DevicesForTraining(const Devices& devices);

// What the lanes compute with, by which a run can differ in its last bits: "cpu", "NVIDIA H100".
std::string DeviceName(const Devices& devices);

// Where each GPU of the lanes is, in their order: "0000:65:00.0".
std::vector<std::string> BusIds(const Devices& devices);

}  // namespace millrace::pipeline
