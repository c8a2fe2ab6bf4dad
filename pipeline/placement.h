// Where this process stands among the processes of one run, as whoever started it says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace millrace::pipeline {

// Where this process stands among the processes of one run.
struct Placement {
  std::uint32_t process = 0;  // its number in the whole run
  std::uint32_t num_processes = 1;
  std::uint32_t local_process = 0;  // its number on this machine
  std::uint32_t num_local_processes = 1;
  // How the processes find each other; both empty: a single process.
  std::filesystem::path store_file;  // all on one machine: a file that all of them open
  std::string master_address;        // across machines: process 0's host ...
  std::uint16_t master_port = 0;     // ... and port
  bool master_is_agent = false;      // a TCPStore already listens there (torchrun's agent)
  std::string run_id;                // keeps keys of another run or an earlier attempt apart
  std::string source;  // who said so, for the log: "torchrun", "Slurm", "millrace launch"
};

// What `get` says of the environment's variables (nullptr: not set): MILLRACE_PROCESS,
// MILLRACE_PROCESSES, MILLRACE_LOCAL_PROCESS, MILLRACE_LOCAL_PROCESSES, MILLRACE_RUN_ID, and
// MILLRACE_STORE (a file) or MILLRACE_MASTER (host:port). Without them: a single process.
// Throws Error (exit code 2) for what is missing, no number or contradicts itself.
Placement PlacementFromEnvironment(const std::function<const char*(const char*)>& get);

}  // namespace millrace::pipeline
