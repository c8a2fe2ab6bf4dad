// A run's folder: where everything that a run leaves behind has its place.
#pragma once

#include <filesystem>
#include <string>

namespace millrace::pipeline {

struct RunFolder {
  std::filesystem::path root;

  std::filesystem::path config() const {
    return root / "config.toml";
  }  // the recipe as it took effect
  std::filesystem::path environment() const {
    return root / "environment.json";
  }  // versions, devices, data
  std::filesystem::path metrics() const { return root / "metrics.jsonl"; }  // equal for equal runs
  std::filesystem::path timings() const { return root / "timings.jsonl"; }  // rates, waits, memory
  // What the last evaluation found, and how the run stands: for the report, which shows them.
  std::filesystem::path evaluation() const { return root / "evaluation.json"; }
  std::filesystem::path status() const { return root / "status.json"; }
  std::filesystem::path report() const { return root / "report.html"; }
  std::filesystem::path log() const { return root / "log.txt"; }
  std::filesystem::path checkpoints() const { return root / "checkpoints"; }
  std::filesystem::path best() const { return root / "best"; }
};

}  // namespace millrace::pipeline
