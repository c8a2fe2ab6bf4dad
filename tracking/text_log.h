// log.txt: every line that the run said, with its time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tracking/event.h"

namespace spdlog {
class logger;
}

namespace millrace::tracking {

// Appends texts and validation results, flushed line by line.
class TextLog final : public Sink {
 public:
  // Throws Error when `path` cannot be opened, and later when it cannot be written.
  explicit TextLog(const std::filesystem::path& path);
  ~TextLog() override;

  void OnScalars(const Scalars& scalars) override;
  void OnText(const std::string& line) override;

 private:
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace millrace::tracking
