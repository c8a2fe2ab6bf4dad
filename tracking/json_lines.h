// metrics.jsonl and timings.jsonl: one JSON object a line.
#pragma once

#include <cstdint>
#include <filesystem>

#include "tracking/append_file.h"
#include "tracking/event.h"

namespace millrace::tracking {

// Appends the scalars of one kind to a file, a line at a time. metrics.jsonl holds kResult only:
// equal runs have equal files, byte for byte.
class JsonLines final : public Sink {
 public:
  // Opens or creates `path` and cuts it to `keep_bytes`: what a resumed run writes continues there.
  // Throws Error when the file cannot be opened or is shorter than that.
  JsonLines(std::filesystem::path path, Scalars::Kind kind, std::uint64_t keep_bytes);

  void OnScalars(const Scalars& scalars) override;

 private:
  AppendFile file_;
  const Scalars::Kind kind_;
};

}  // namespace millrace::tracking
