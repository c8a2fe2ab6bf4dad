// What `millrace profile` tells: as a table for people, as JSON for programs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "pipeline/profile/profile.h"
#include "pipeline/profile/verdict.h"
#include "stages/decode.h"

namespace millrace::pipeline {

// The train step of a profile.
enum class ProfiledStep : std::uint8_t { kNone, kEmulated, kReal };

struct ProfileReport {
  std::string recipe;            // its name
  std::string dataset;           // its folder
  std::string devices;           // "cpu:2"
  std::uint32_t per_device = 0;  // [samples] of a batch
  int picture_width = 0;         // [pixels] of a finished picture
  int picture_height = 0;
  int workers = 1;
  std::uint32_t slots = 1;
  std::uint32_t lanes = 1;
  int cores = 1;
  ProfiledStep step = ProfiledStep::kNone;
  double emulated_step_ms = 0;  // [ms] with kEmulated
  Measurements measured;
  stages::DecodeCounts decoded;  // of all measurements together
  Verdict verdict;

  // Share of the time in which the devices had work, 0 to 1; of emulated steps what MLPerf Storage
  // calls accelerator utilisation. Nothing without a train step.
  std::optional<double> device_utilisation() const;
};

std::string ProfileTable(const ProfileReport& report);
std::string ProfileJson(const ProfileReport& report);

}  // namespace millrace::pipeline
