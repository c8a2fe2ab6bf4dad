// TensorBoard's event files in a run's folder: a new one for every process that works on the run,
// and the older ones cut to what still holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "tracking/append_file.h"

namespace millrace::tensorboard {
class Event;
}

namespace millrace::tracking {

// One thread at a time.
class EventFile {
 public:
  // Cuts what earlier processes wrote into `folder` from the first event beyond `keep_position` on
  // (Event::position), and what a kill left of a last one. Then opens a new file, sorted behind
  // them, as readers want it. `writer` says in it whose it is; files of others stay as they are.
  // Throws Error naming the file that cannot be read, cut or made.
  EventFile(const std::filesystem::path& folder, std::string_view writer,
            std::uint64_t keep_position);

  // The event gets its time and is in the file when this returns. Throws Error naming the file.
  void Write(tensorboard::Event& event);

 private:
  std::unique_ptr<AppendFile> file_;
};

}  // namespace millrace::tracking
