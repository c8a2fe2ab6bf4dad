// What each launcher tells the processes that it starts, one function a launcher.
#pragma once

#include <filesystem>
#include <optional>

#include "pipeline/launch/variables.h"
#include "pipeline/placement.h"

namespace millrace::pipeline::launch {

// Nothing where the launcher has not started this process. All throw Error (exit code 2) for what
// is missing or no number. What a launcher says is taken as it is: PlacementFromEnvironment()
// checks it and holds one against the other.
std::optional<Placement> FromMillrace(const Variables& variables);
std::optional<Placement> FromTorchrun(const Variables& variables);
std::optional<Placement> FromOpenMpi(const Variables& variables);
std::optional<Placement> FromSlurm(const Variables& variables);
// RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT without torchrun.
std::optional<Placement> FromRank(const Variables& variables);
// The pods of a TrainJob of Kubeflow's trainer, whose variables are meant for a torchrun in each.
std::optional<Placement> FromTrainJob(const Variables& variables);

// The private folder of this user in which processes of this machine meet: in TMPDIR, or /tmp.
std::filesystem::path StoreFolder(const Variables& variables);

}  // namespace millrace::pipeline::launch
