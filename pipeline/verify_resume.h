// Proves that a run may be stopped and continued: trains it undisturbed, trains it again in pieces,
// and compares both.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/compare_runs.h"

namespace millrace::pipeline {

struct VerifyResumeOptions {
  std::filesystem::path program;
  // Of one run, from "train" on, without its folder and where it goes on.
  std::vector<std::string> arguments;
  std::filesystem::path out;  // a new folder, for "undisturbed/" and "resumed/"
  std::uint64_t seed = 0;     // of the steps behind which the run is stopped
  const std::atomic<bool>* interrupt = nullptr;
};

struct VerifyResumeResult {
  std::vector<std::uint64_t> stops;  // steps, counted from 1, behind which it was stopped
  RunComparison comparison;          // A: undisturbed, B: resumed
};

// Three stops, fewer where there are fewer steps. Every piece is a process of its own, so that
// nothing but the checkpoint goes over to the next; their output goes to stderr. Throws Error when
// `out` is there already, a piece fails, the run has a single step, or it is interrupted.
VerifyResumeResult VerifyResume(const VerifyResumeOptions& options);

// `count` different steps from 1 to `total_steps` - 1, in order, as the seed has it; all of them
// where there are not so many.
std::vector<std::uint64_t> ChooseStops(std::uint64_t total_steps, std::size_t count,
                                       std::uint64_t seed);

}  // namespace millrace::pipeline
