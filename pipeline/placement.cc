#include "pipeline/placement.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/private_folder.h"
#include "pipeline/launch/launchers.h"
#include "pipeline/launch/variables.h"

namespace millrace::pipeline {
namespace {

using launch::Variables;

void RefuseImpossible(const Placement& placement) {
  if (placement.process >= placement.num_processes) {
    FailUsage("{}: there is no process {} of {}; they are counted from 0", placement.source,
              placement.process, placement.num_processes);
  }
  if (placement.local_process >= placement.num_local_processes) {
    FailUsage("{}: there is no process {} of {} on this machine; they are counted from 0",
              placement.source, placement.local_process, placement.num_local_processes);
  }
  if (placement.num_local_processes > placement.num_processes) {
    FailUsage("{}: {} processes on this machine, but {} in the whole run", placement.source,
              placement.num_local_processes, placement.num_processes);
  }
}

// The names of two launchers' variables for the same number.
struct Names {
  const char* process;
  const char* num_processes;
};
constexpr Names kMillrace = {"MILLRACE_PROCESS", "MILLRACE_PROCESSES"};
constexpr Names kOpenMpi = {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"};
constexpr Names kSlurm = {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"};

// RANK and WORLD_SIZE that somebody has set beside a launcher must say the same as it does.
void RefuseOtherRank(const Variables& variables, const Placement& placement, const Names& names) {
  if (placement.num_processes == 1) return;
  const auto refuse = [](const char* own, std::uint32_t is, const char* other, std::uint32_t says) {
    FailUsage("{} is {}, but {} is {}; unset {} or start the program another way", own, is, other,
              says, other);
  };
  const auto size = variables.Number("WORLD_SIZE");
  if (size && *size != placement.num_processes) {
    refuse(names.num_processes, placement.num_processes, "WORLD_SIZE", *size);
  }
  const auto rank = variables.Number("RANK");
  if (rank && *rank != placement.process) {
    refuse(names.process, placement.process, "RANK", *rank);
  }
}

// Several torchruns that Slurm or mpirun has started side by side must be one run, or all of them
// would write into one folder.
void RefuseSeparateTorchruns(const Variables& variables) {
  const std::uint32_t agents = variables.Number("GROUP_WORLD_SIZE").value_or(1);
  for (const auto& [outer, name] :
       {std::pair{launch::FromOpenMpi(variables), kOpenMpi.num_processes},
        std::pair{launch::FromSlurm(variables), kSlurm.num_processes}}) {
    if (!outer || outer->num_processes == 1 || outer->num_processes == agents) continue;
    FailUsage(
        "{} is {}, but GROUP_WORLD_SIZE is {}: each of {} processes of {} has started a torchrun "
        "that does not know of the others; give torchrun --nnodes {} and one --rdzv-endpoint, or "
        "start one process for each machine",
        name, outer->num_processes, agents, outer->num_processes, outer->source,
        outer->num_processes);
  }
}

Placement Find(const Variables& variables) {
  if (auto placement = launch::FromMillrace(variables)) {
    RefuseOtherRank(variables, *placement, kMillrace);
    return *placement;
  }
  if (auto placement = launch::FromTorchrun(variables)) {
    RefuseSeparateTorchruns(variables);
    return *placement;
  }
  if (auto placement = launch::FromOpenMpi(variables)) {
    RefuseOtherRank(variables, *placement, kOpenMpi);
    return *placement;
  }
  if (auto placement = launch::FromSlurm(variables)) {
    RefuseOtherRank(variables, *placement, kSlurm);
    // In the shell of a step of one task somebody may say more by hand.
    if (placement->num_processes > 1) return *placement;
  }
  if (auto placement = launch::FromRank(variables)) return *placement;
  return launch::FromTrainJob(variables).value_or(Placement{});
}

}  // namespace

Placement PlacementFromEnvironment(const std::function<const char*(const char*)>& get) {
  Placement placement = Find(Variables(get));
  RefuseImpossible(placement);
  return placement;
}

Placement ThisPlacement() {
  Placement placement = PlacementFromEnvironment(launch::ProcessEnvironment());
  if (!placement.store_file.empty()) CreatePrivateFolder(placement.store_file.parent_path());
  return placement;
}

int CoresOfProcess(int cores, const Placement& placement) {
  const int processes = static_cast<int>(placement.num_local_processes);
  if (placement.owns_cores || processes <= 1) return std::max(cores, 1);
  // What does not go up evenly falls to the first.
  const int more = static_cast<int>(placement.local_process) < cores % processes ? 1 : 0;
  return std::max(cores / processes + more, 1);
}

std::vector<int> GpusOfProcess(const std::vector<int>& gpus, const Placement& placement) {
  const std::size_t processes = placement.num_local_processes;
  if (processes <= 1 || gpus.empty()) return gpus;
  const bool scheduled = placement.source == "Slurm" || placement.source == "Kubernetes";
  if (gpus.size() == 1 && scheduled) return gpus;
  if (gpus.size() % processes != 0) {
    FailUsage(
        "{} has started {} processes on this machine, which cannot share {} GPUs evenly; start one "
        "process for each GPU, or one for all of them",
        placement.source, processes, gpus.size());
  }
  const std::size_t each = gpus.size() / processes;
  const auto begin = gpus.begin() + static_cast<std::ptrdiff_t>(each * placement.local_process);
  return {begin, begin + static_cast<std::ptrdiff_t>(each)};
}

}  // namespace millrace::pipeline
