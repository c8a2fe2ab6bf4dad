// status.json in a run's folder: how the run stands, and for how long it has worked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "tracking/event.h"

namespace millrace::pipeline {

// A run has parts: it begins another one each time it is resumed. Times are seconds since 1970.
struct RunStatus {
  using State = tracking::Status::State;

  State state = State::kRunning;
  std::uint64_t step = 0;  // global steps done when this was written
  std::uint64_t total_steps = 0;
  std::string reason;           // of a failure
  std::uint32_t parts = 0;      // begun
  std::int64_t began = 0;       // the first part
  std::int64_t part_began = 0;  // the last part
  std::int64_t ended = 0;       // the last part; 0: still running, or killed
  std::int64_t worked = 0;      // all ended parts together [s]

  // The next part of the run after `before`. What a killed part worked lasted until `last_sign`.
  static RunStatus Begin(const std::optional<RunStatus>& before, std::uint64_t step,
                         std::uint64_t total_steps, std::int64_t now, std::int64_t last_sign);
  // `seconds`: what the part has worked, by a clock that never goes back.
  void End(State how, std::uint64_t steps_done, std::string why, std::int64_t now,
           std::int64_t seconds);

  std::string ToJson() const;
  // Nothing where there is none, or none that a run writes: nobody fails for it.
  static std::optional<RunStatus> ReadIfThere(const std::filesystem::path& file);
};

// "finished".
const char* StateName(RunStatus::State state);

// When the file was written last, in seconds since 1970; 0: it is not there.
std::int64_t WrittenAt(const std::filesystem::path& file);

}  // namespace millrace::pipeline
