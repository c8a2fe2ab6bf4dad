#include "pipeline/launch/launchers.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "pipeline/launch/slurm_notation.h"

namespace millrace::pipeline::launch {
namespace {

// The port that torchrun takes when nobody names one.
constexpr std::uint16_t kDefaultPort = 29500;

// "host:port"; an IPv6 address may stand in brackets.
void ReadMaster(const std::string& text, Placement& placement) {
  const std::size_t colon = text.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : ParseNumber(std::string_view(text).substr(colon + 1));
  if (!port || *port < 1 || *port > 65535 || colon == 0) {
    FailUsage("MILLRACE_MASTER is \"{}\"; write host:port, as in node1:29500", text);
  }
  const bool brackets = text.front() == '[' && text[colon - 1] == ']';
  placement.master_address = brackets ? text.substr(1, colon - 2) : text.substr(0, colon);
  placement.master_port = static_cast<std::uint16_t>(*port);
}

// For processes on several machines whose launcher does not say where process 0 is.
void UseMasterVariables(const Variables& variables, const char* hint, Placement& placement) {
  const auto address = variables.Text("MASTER_ADDR");
  if (!address) {
    FailUsage(
        "{} has started {} processes on several machines, but MASTER_ADDR, the host of process 0, "
        "is not set; {}",
        placement.source, placement.num_processes, hint);
  }
  placement.master_address = *address;
  placement.master_port = variables.Port("MASTER_PORT").value_or(kDefaultPort);
}

// A port for a job, the same in all its processes, below those that Linux hands out by itself.
// Jobs and steps that run at the same time have numbers near each other.
std::uint16_t PortOfJob(std::uint32_t job, std::uint32_t step) {
  constexpr std::uint64_t kFirst = 15000;
  constexpr std::uint64_t kPorts = 10000;
  constexpr std::uint64_t kStepStride = 2503;
  return static_cast<std::uint16_t>(kFirst + (job + step * kStepStride) % kPorts);
}

}  // namespace

std::filesystem::path StoreFolder(const Variables& variables) {
  return std::filesystem::path(variables.Text("TMPDIR").value_or("/tmp")) /
         fmt::format("millrace-{}", ::getuid());
}

std::optional<Placement> FromMillrace(const Variables& variables) {
  if (!variables.Has("MILLRACE_PROCESS") && !variables.Has("MILLRACE_PROCESSES")) return {};
  Placement placement;
  placement.source = "millrace launch";
  placement.process = variables.Needed("MILLRACE_PROCESS", "MILLRACE_PROCESSES");
  placement.num_processes = variables.Needed("MILLRACE_PROCESSES", "MILLRACE_PROCESS");
  placement.local_process = variables.Needed("MILLRACE_LOCAL_PROCESS", "MILLRACE_PROCESS");
  placement.num_local_processes = variables.Needed("MILLRACE_LOCAL_PROCESSES", "MILLRACE_PROCESS");
  placement.run_id = variables.Text("MILLRACE_RUN_ID").value_or("");
  const auto store = variables.Text("MILLRACE_STORE");
  const auto master = variables.Text("MILLRACE_MASTER");
  if (store && master) {
    FailUsage(
        "MILLRACE_STORE and MILLRACE_MASTER are both set, but processes meet in one place; unset "
        "one of them");
  }
  if (store) placement.store_file = *store;
  if (master) ReadMaster(*master, placement);
  if (!store && !master && placement.num_processes > 1) {
    FailUsage(
        "MILLRACE_PROCESSES is {}, but neither MILLRACE_STORE nor MILLRACE_MASTER says where they "
        "meet",
        placement.num_processes);
  }
  return placement;
}

std::optional<Placement> FromTorchrun(const Variables& variables) {
  const auto run = variables.Text("TORCHELASTIC_RUN_ID");
  if (!run) return {};
  constexpr const char* kBeside = "TORCHELASTIC_RUN_ID";
  Placement placement;
  placement.source = "torchrun";
  placement.process = variables.Needed("RANK", kBeside);
  placement.num_processes = variables.Needed("WORLD_SIZE", kBeside);
  placement.local_process = variables.Needed("LOCAL_RANK", kBeside);
  placement.num_local_processes = variables.Needed("LOCAL_WORLD_SIZE", kBeside);
  if (placement.num_processes == 1) return placement;
  UseMasterVariables(variables, "torchrun sets it; do not unset it", placement);
  // The text that PyTorch looks for (distributed/rendezvous.py).
  placement.master_is_agent = variables.Text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  // An agent's store outlives its workers, so each attempt needs keys of its own. Only one agent
  // alone has a count that all workers agree about: of several, each counts what failed under it.
  placement.run_id = *run;
  if (placement.num_local_processes == placement.num_processes) {
    placement.run_id +=
        fmt::format(".{}", variables.Number("TORCHELASTIC_RESTART_COUNT").value_or(0));
  }
  return placement;
}

std::optional<Placement> FromOpenMpi(const Variables& variables) {
  const auto process = variables.Number("OMPI_COMM_WORLD_RANK");
  if (!process) return {};
  constexpr const char* kBeside = "OMPI_COMM_WORLD_RANK";
  Placement placement;
  placement.source = "Open MPI";
  placement.process = *process;
  placement.num_processes = variables.Needed("OMPI_COMM_WORLD_SIZE", kBeside);
  placement.local_process = variables.Needed("OMPI_COMM_WORLD_LOCAL_RANK", kBeside);
  placement.num_local_processes = variables.Needed("OMPI_COMM_WORLD_LOCAL_SIZE", kBeside);
  placement.owns_cores = variables.Text("OMPI_MCA_orte_bound_at_launch") == "1";
  if (placement.num_processes == 1) return placement;
  if (placement.num_local_processes < placement.num_processes) {
    UseMasterVariables(variables, "give mpirun -x MASTER_ADDR=HOST", placement);
    return placement;
  }
  // The name of a job is made of the process number of mpirun, which comes again; the addresses of
  // its server, with a port that the system chose, tell two such jobs apart.
  Hasher server;
  for (const char* name : {"PMIX_NAMESPACE", "PMIX_SERVER_URI2", "PMIX_SERVER_URI41",
                           "OMPI_MCA_orte_precondition_transports"}) {
    server.Add(variables.Text(name).value_or(""));
    server.Add(" ");
  }
  placement.run_id = "openmpi-" + HashToHex(server.Digest());
  placement.store_file = StoreFolder(variables) / placement.run_id;
  return placement;
}

std::optional<Placement> FromSlurm(const Variables& variables) {
  // The shells of sbatch and salloc have the job's variables, but only srun makes a step, and only
  // in one are there as many processes as SLURM_NTASKS says.
  const auto step = variables.Number("SLURM_STEP_ID");
  constexpr std::uint32_t kFirstReserved = 0xfffffff0;  // batch, interactive and extern steps
  if (!step || *step >= kFirstReserved) return {};
  constexpr const char* kBeside = "SLURM_STEP_ID";
  Placement placement;
  placement.source = "Slurm";
  placement.process = variables.Needed("SLURM_PROCID", kBeside);
  const auto in_step = variables.Number("SLURM_STEP_NUM_TASKS");
  placement.num_processes = in_step ? *in_step : variables.Needed("SLURM_NTASKS", kBeside);
  placement.local_process = variables.Needed("SLURM_LOCALID", kBeside);
  if (placement.num_processes == 1) return placement;

  const char* name = variables.Has("SLURM_STEP_TASKS_PER_NODE") ? "SLURM_STEP_TASKS_PER_NODE"
                                                                : "SLURM_TASKS_PER_NODE";
  const std::string tasks = variables.Text(name).value_or("");
  const std::uint32_t node = variables.Needed("SLURM_NODEID", kBeside);
  const auto local = TasksOnNode(tasks, node);
  if (!local) {
    FailUsage("{} is \"{}\", which does not tell the tasks of node {} (SLURM_NODEID)", name, tasks,
              node);
  }
  placement.num_local_processes = *local;
  const std::string bind = variables.Text("SLURM_CPU_BIND_TYPE").value_or("");
  placement.owns_cores = bind.starts_with("mask_cpu") || bind.starts_with("map_cpu");
  const std::uint32_t job = variables.Needed("SLURM_JOB_ID", kBeside);
  // A job that Slurm has put back into the queue counts its steps from 0 again.
  placement.run_id = fmt::format("slurm-{}.{}.{}", job, *step,
                                 variables.Number("SLURM_RESTART_COUNT").value_or(0));
  if (*local == placement.num_processes) {
    // A controller that has lost its state counts jobs from 1 again; srun's port differs then.
    placement.run_id +=
        fmt::format("-{}", variables.Number("SLURM_STEP_LAUNCHER_PORT").value_or(0));
    placement.store_file = StoreFolder(variables) / placement.run_id;
    return placement;
  }
  const auto address = variables.Text("MASTER_ADDR");
  if (address) {
    placement.master_address = *address;
  } else {
    const char* list_name =
        variables.Has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST";
    const std::string list = variables.Text(list_name).value_or("");
    const auto host = FirstHost(list);
    if (!host) {
      FailUsage("{} is \"{}\", which is no list of nodes; set MASTER_ADDR to the host of process 0",
                list_name, list);
    }
    placement.master_address = *host;
  }
  placement.master_port = variables.Port("MASTER_PORT").value_or(PortOfJob(job, *step));
  return placement;
}

std::optional<Placement> FromRank(const Variables& variables) {
  if (variables.Has("TORCHELASTIC_RUN_ID")) return {};
  const auto rank = variables.Number("RANK");
  const auto index = variables.Number("JOB_COMPLETION_INDEX");
  const auto size = variables.Number("WORLD_SIZE");
  if (!size) {
    if (rank) FailUsage("RANK is set, but WORLD_SIZE is not; set both or none");
    if (index && variables.Has("MASTER_ADDR")) {
      FailUsage(
          "JOB_COMPLETION_INDEX and MASTER_ADDR are set, but WORLD_SIZE is not; give the container "
          "WORLD_SIZE, the job's completions");
    }
    return {};
  }
  if (!rank && !index) FailUsage("WORLD_SIZE is set, but RANK is not; set both or none");
  if (rank && index && !variables.Has("LOCAL_RANK") && *rank != *index) {
    FailUsage("RANK is {}, but JOB_COMPLETION_INDEX is {}; leave RANK out", *rank, *index);
  }
  Placement placement;
  placement.source =
      index || variables.Has("KUBERNETES_SERVICE_HOST") ? "Kubernetes" : "RANK and WORLD_SIZE";
  placement.process = rank ? *rank : *index;
  placement.num_processes = *size;
  if (const auto local = variables.Number("LOCAL_RANK")) {
    placement.local_process = *local;
    placement.num_local_processes = variables.Needed("LOCAL_WORLD_SIZE", "LOCAL_RANK");
  } else if (const auto each = variables.Text("PET_NPROC_PER_NODE");
             each && *each != "1" && ParseNumber(*each)) {
    // The training operator counts processes in WORLD_SIZE, but pods in RANK.
    FailUsage(
        "PET_NPROC_PER_NODE is {}, but LOCAL_RANK is not set; write nprocPerNode: \"1\" in the "
        "PyTorchJob, so that one process drives all devices of its pod, or start torchrun in it",
        *each);
  }
  if (placement.num_processes == 1) return placement;
  UseMasterVariables(variables, "set it in all of them", placement);
  return placement;
}

std::optional<Placement> FromTrainJob(const Variables& variables) {
  const auto address = variables.Text("PET_MASTER_ADDR");
  if (!address) return {};
  Placement placement;
  placement.source = "Kubernetes";
  placement.process = variables.Needed("PET_NODE_RANK", "PET_MASTER_ADDR");
  placement.num_processes = variables.Needed("PET_NNODES", "PET_MASTER_ADDR");
  if (placement.num_processes == 1) return placement;
  placement.master_address = *address;
  placement.master_port = variables.Port("PET_MASTER_PORT").value_or(kDefaultPort);
  return placement;
}

}  // namespace millrace::pipeline::launch
