// Starts the processes of one run on this machine, passes their output on, and sees to it that they
// end together.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace millrace::pipeline::launch {

struct LaunchOptions {
  std::filesystem::path program;       // millrace itself
  std::vector<std::string> arguments;  // the verb and what belongs to it
  std::uint32_t processes = 1;         // on this machine, as on each of the others
  std::uint32_t restarts = 0;          // after failures; only for `train`
  std::uint32_t nodes = 1;             // machines
  std::uint32_t node = 0;              // which of them this is
  std::string master;                  // host:port of process 0; needed where nodes > 1

  std::function<void(const std::string& line)> say;  // what the launcher has to tell
  int out = STDOUT_FILENO;  // where the output of all of them goes, line by line, of all but
  int err = STDERR_FILENO;  // process 0 with "[number] " in front; terminals are process 0's own
  // After a failure the others have so long to notice it themselves, and then, asked to end by
  // SIGTERM, so long until they are killed.
  std::chrono::milliseconds notice{2000};
  std::chrono::milliseconds grace{5000};
};

// Runs them to their end. The first SIGINT, SIGTERM or SIGHUP is passed on to all of them, whose
// run then ends with a checkpoint (kInterrupted); a second one kills them, and the result is 128
// and the signal's number. When one process fails, all others are stopped; with restarts left, and
// when the command line was not at fault, all are started again with `--resume auto`. These
// processes end with this one, even when it is killed.
//
// Throws Error with the exit code of the process that failed first and its message; before anything
// is started when the options do not fit each other or another launcher has already started several
// processes. One thread at a time in a process; the thread's signals are blocked meanwhile.
ExitCode Launch(const LaunchOptions& options);

// The arguments of `train` that go on from the newest checkpoint: with "--resume auto".
std::vector<std::string> ResumeArguments(const std::vector<std::string>& arguments);

}  // namespace millrace::pipeline::launch
