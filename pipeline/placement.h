// Where this process stands among the processes of one run, as whoever started it says, and which
// share of its machine is its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

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
  // The cores that the process may run on are its own, not shared with the others of its machine.
  bool owns_cores = false;
};

// What `get` says of the environment's variables (nullptr: not set), in this order: those of
// millrace itself (docs/launch.md), torchrun, Open MPI, a Slurm job step, and RANK, WORLD_SIZE,
// MASTER_ADDR and MASTER_PORT as PyTorchJobs and scripts set them, with JOB_COMPLETION_INDEX in
// place of RANK in a Kubernetes Indexed Job, or the variables of a TrainJob. Whoever started this
// process itself comes first: mpirun inside a Slurm job is Open MPI. None of them, or a batch
// script's shell: a single process. Throws Error (exit code 2) that names the variables for what is
// missing, no number, or in contradiction.
Placement PlacementFromEnvironment(const std::function<const char*(const char*)>& get);

// The same for this process. The folder of its store file exists afterwards and is private. Throws
// Error.
Placement ThisPlacement();

// The share of `cores`, which this process may run on, that it uses itself: at least 1.
int CoresOfProcess(int cores, const Placement& placement);

// Which of `gpus`, which are those that this process sees or was given, are its own: an equal part
// for each process of its machine, in order; all of them where it is the only one. One GPU that
// Slurm or Kubernetes shows to one of several processes is its own. Throws Error (exit code 2) when
// they cannot be shared out evenly.
std::vector<int> GpusOfProcess(const std::vector<int>& gpus, const Placement& placement);

}  // namespace millrace::pipeline
