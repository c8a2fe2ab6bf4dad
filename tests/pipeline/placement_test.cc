#include "pipeline/placement.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <map>
#include <string>

#include "base/error.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

Placement Read(const Variables& variables) {
  return PlacementFromEnvironment([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

Variables With(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

std::string Refusal(const Variables& variables) {
  return test::UsageErrorOf([&] { Read(variables); });
}

// "1 of 4, 0 of 2 here": what all launchers have to tell.
std::string Where(const Placement& placement) {
  return fmt::format("{} of {}, {} of {} here", placement.process, placement.num_processes,
                     placement.local_process, placement.num_local_processes);
}

const Variables kOwn = {{"MILLRACE_PROCESS", "3"},
                        {"MILLRACE_PROCESSES", "4"},
                        {"MILLRACE_LOCAL_PROCESS", "1"},
                        {"MILLRACE_LOCAL_PROCESSES", "2"},
                        {"MILLRACE_RUN_ID", "a1"}};

// As `torchrun --standalone --nproc-per-node 2` of torch 2.11 sets them, second worker.
const Variables kTorchrun = {{"GROUP_RANK", "0"},
                             {"GROUP_WORLD_SIZE", "1"},
                             {"LOCAL_RANK", "1"},
                             {"LOCAL_WORLD_SIZE", "2"},
                             {"MASTER_ADDR", "localhost"},
                             {"MASTER_PORT", "39445"},
                             {"OMP_NUM_THREADS", "1"},
                             {"RANK", "1"},
                             {"ROLE_NAME", "default"},
                             {"ROLE_RANK", "1"},
                             {"ROLE_WORLD_SIZE", "2"},
                             {"TORCHELASTIC_MAX_RESTARTS", "0"},
                             {"TORCHELASTIC_RESTART_COUNT", "0"},
                             {"TORCHELASTIC_RUN_ID", "d1d00f14-9009-485b-bca3-debed2c629ed"},
                             {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                             {"WORLD_SIZE", "2"}};

// As `mpirun -n 2` of Open MPI 4.1.4 sets them, second process.
const Variables kOpenMpi = {
    {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
    {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
    {"OMPI_COMM_WORLD_NODE_RANK", "1"},
    {"OMPI_COMM_WORLD_RANK", "1"},
    {"OMPI_COMM_WORLD_SIZE", "2"},
    {"OMPI_MCA_orte_bound_at_launch", "1"},
    {"OMPI_MCA_orte_precondition_transports", "d61e1b41cc56df03-de1220d66db0a395"},
    {"PMIX_NAMESPACE", "1077870593"},
    {"PMIX_RANK", "1"},
    {"PMIX_SERVER_URI2", "1077870592.0;tcp4://127.0.0.1:46425"}};

// As `srun -N 2 -n 3` of Slurm 22.05 sets them, second process.
const Variables kSlurmStep = {{"SLURMD_NODENAME", "n1"},
                              {"SLURM_JOB_ID", "12"},
                              {"SLURM_JOB_NODELIST", "n[1-2]"},
                              {"SLURM_JOB_NUM_NODES", "2"},
                              {"SLURM_LOCALID", "1"},
                              {"SLURM_NNODES", "2"},
                              {"SLURM_NODEID", "0"},
                              {"SLURM_NTASKS", "3"},
                              {"SLURM_PROCID", "1"},
                              {"SLURM_STEP_ID", "0"},
                              {"SLURM_STEP_LAUNCHER_PORT", "44977"},
                              {"SLURM_STEP_NODELIST", "n[1-2]"},
                              {"SLURM_STEP_NUM_NODES", "2"},
                              {"SLURM_STEP_NUM_TASKS", "3"},
                              {"SLURM_STEP_TASKS_PER_NODE", "2,1"},
                              {"SLURM_TASKS_PER_NODE", "2,1"}};

// The same for `srun -N 1 -n 2` inside a job of two machines.
const Variables kSlurmOneNode = With(kSlurmStep, {{"SLURM_NNODES", "1"},
                                                  {"SLURM_NTASKS", "2"},
                                                  {"SLURM_STEP_NODELIST", "n1"},
                                                  {"SLURM_STEP_NUM_NODES", "1"},
                                                  {"SLURM_STEP_NUM_TASKS", "2"},
                                                  {"SLURM_STEP_TASKS_PER_NODE", "2"},
                                                  {"SLURM_TASKS_PER_NODE", "2"}});

// The shell of an sbatch script with --nodes 2 --ntasks 4.
const Variables kSlurmBatch = {{"SLURM_JOB_ID", "4"},
                               {"SLURM_JOB_NODELIST", "n[1-2]"},
                               {"SLURM_LOCALID", "0"},
                               {"SLURM_NNODES", "2"},
                               {"SLURM_NODEID", "0"},
                               {"SLURM_NTASKS", "4"},
                               {"SLURM_PROCID", "0"},
                               {"SLURM_GTIDS", "0"},
                               {"SLURM_TASKS_PER_NODE", "2(x2)"}};

// As the training operator sets them for the first worker of a PyTorchJob of three pods.
const Variables kPyTorchJob = {{"KUBERNETES_SERVICE_HOST", "10.0.0.1"},
                               {"MASTER_ADDR", "job-master-0"},
                               {"MASTER_PORT", "23456"},
                               {"WORLD_SIZE", "3"},
                               {"RANK", "1"},
                               {"PET_NODE_RANK", "1"},
                               {"PET_NNODES", "3"},
                               {"PET_NPROC_PER_NODE", "auto"}};

const Variables kIndexedJob = {{"KUBERNETES_SERVICE_HOST", "10.0.0.1"},
                               {"JOB_COMPLETION_INDEX", "2"},
                               {"WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "train-0.train"}};

TEST(Placement, NothingSetIsASingleProcess) {
  const Placement placement = Read({});
  EXPECT_EQ(Where(placement), "0 of 1, 0 of 1 here");
  EXPECT_EQ(placement.store_file, "");
  EXPECT_EQ(placement.master_address, "");
  EXPECT_EQ(placement.source, "");
}

TEST(Placement, OwnVariablesNameAStoreOrAMaster) {
  Placement placement = Read(With(kOwn, {{"MILLRACE_STORE", "/tmp/x/store"}}));
  EXPECT_EQ(Where(placement), "3 of 4, 1 of 2 here");
  EXPECT_EQ(placement.store_file, "/tmp/x/store");
  EXPECT_EQ(placement.run_id, "a1");
  EXPECT_EQ(placement.source, "millrace launch");

  placement = Read(With(kOwn, {{"MILLRACE_MASTER", "node1:29500"}}));
  EXPECT_EQ(placement.master_address, "node1");
  EXPECT_EQ(placement.master_port, 29500);
  EXPECT_FALSE(placement.master_is_agent);
  EXPECT_EQ(placement.store_file, "");

  placement = Read(With(kOwn, {{"MILLRACE_MASTER", "[fd00::2]:29500"}}));
  EXPECT_EQ(placement.master_address, "fd00::2");
}

TEST(Placement, OwnVariablesThatDoNotFitAreRefused) {
  EXPECT_THAT(Refusal(kOwn), HasSubstr("neither MILLRACE_STORE nor MILLRACE_MASTER"));
  const Variables store = With(kOwn, {{"MILLRACE_STORE", "/s"}});
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_MASTER", "a:1"}})),
              HasSubstr("MILLRACE_STORE and MILLRACE_MASTER are both set"));
  for (const char* master : {"node1", "node1:0", ":1", "node1:65536"}) {
    EXPECT_THAT(Refusal(With(kOwn, {{"MILLRACE_MASTER", master}})), HasSubstr("write host:port"));
  }
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_PROCESS", "x"}})),
              HasSubstr("MILLRACE_PROCESS is \"x\""));
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_PROCESS", "4294967296"}})),
              HasSubstr("which is no number"));
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_PROCESS", "4"}})),
              HasSubstr("there is no process 4 of 4"));
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_LOCAL_PROCESS", "2"}})),
              HasSubstr("there is no process 2 of 2 on this machine"));
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_LOCAL_PROCESSES", "5"}})),
              HasSubstr("5 processes on this machine, but 4 in the whole run"));
  EXPECT_THAT(Refusal(With(store, {{"MILLRACE_LOCAL_PROCESSES", ""}})),
              HasSubstr("MILLRACE_PROCESS is set, but MILLRACE_LOCAL_PROCESSES is not"));
}

TEST(Placement, TorchrunMeetsInTheStoreOfItsAgent) {
  const Placement placement = Read(kTorchrun);
  EXPECT_EQ(Where(placement), "1 of 2, 1 of 2 here");
  EXPECT_EQ(placement.source, "torchrun");
  EXPECT_EQ(placement.master_address, "localhost");
  EXPECT_EQ(placement.master_port, 39445);
  EXPECT_TRUE(placement.master_is_agent);
  EXPECT_EQ(placement.store_file, "");
  EXPECT_FALSE(placement.owns_cores);

  EXPECT_FALSE(Read(With(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "False"}})).master_is_agent);
}

TEST(Placement, TorchrunsRestartHasKeysOfItsOwnUnderOneAgent) {
  const auto run_id = [](const Variables& more) { return Read(With(kTorchrun, more)).run_id; };
  EXPECT_NE(run_id({}), run_id({{"TORCHELASTIC_RESTART_COUNT", "1"}}));
  EXPECT_NE(run_id({}), run_id({{"TORCHELASTIC_RUN_ID", "another"}}));
  // Each of several agents counts the failures of its own workers only.
  const Variables two_agents = {{"GROUP_WORLD_SIZE", "2"}, {"WORLD_SIZE", "4"}};
  EXPECT_EQ(run_id(two_agents), run_id(With(two_agents, {{"TORCHELASTIC_RESTART_COUNT", "1"}})));
}

TEST(Placement, TorchrunWithOneProcessIsASingleOne) {
  const Placement placement = Read(
      With(kTorchrun,
           {{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}, {"LOCAL_WORLD_SIZE", "1"}}));
  EXPECT_EQ(Where(placement), "0 of 1, 0 of 1 here");
  EXPECT_EQ(placement.master_address, "");
}

TEST(Placement, OpenMpiMeetsInAFileOfThisUser) {
  const Placement placement = Read(With(kOpenMpi, {{"TMPDIR", "/scratch"}}));
  EXPECT_EQ(Where(placement), "1 of 2, 1 of 2 here");
  EXPECT_EQ(placement.source, "Open MPI");
  EXPECT_EQ(placement.store_file.parent_path(), fmt::format("/scratch/millrace-{}", ::getuid()));
  EXPECT_TRUE(placement.owns_cores);

  const Placement other = Read(With(kOpenMpi, {{"OMPI_COMM_WORLD_RANK", "0"},
                                               {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                                               {"TMPDIR", "/scratch"}}));
  EXPECT_EQ(other.store_file, placement.store_file);
  EXPECT_EQ(other.run_id, placement.run_id);
  // mpirun's process number, and with it the job's name, comes again some day.
  const Placement later = Read(With(
      kOpenMpi, {{"OMPI_MCA_orte_precondition_transports", "0123456789abcdef-0123456789abcdef"}}));
  EXPECT_NE(later.run_id, placement.run_id);
  EXPECT_FALSE(Read(With(kOpenMpi, {{"OMPI_MCA_orte_bound_at_launch", ""}})).owns_cores);
}

TEST(Placement, OpenMpiOnSeveralMachinesNeedsAMaster) {
  const Variables several = With(kOpenMpi, {{"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_THAT(Refusal(several), AllOf(HasSubstr("Open MPI has started 4 processes on several"),
                                      HasSubstr("mpirun -x MASTER_ADDR=HOST")));
  Placement placement = Read(With(several, {{"MASTER_ADDR", "node1"}}));
  EXPECT_EQ(placement.master_address, "node1");
  EXPECT_EQ(placement.master_port, 29500);
  EXPECT_EQ(placement.store_file, "");
  placement = Read(With(several, {{"MASTER_ADDR", "node1"}, {"MASTER_PORT", "1234"}}));
  EXPECT_EQ(placement.master_port, 1234);
  EXPECT_THAT(Refusal(With(several, {{"MASTER_ADDR", "node1"}, {"MASTER_PORT", "65536"}})),
              HasSubstr("MASTER_PORT is 65536, which is no port"));
}

TEST(Placement, SlurmStepOnSeveralMachinesMeetsAtItsFirst) {
  Placement placement = Read(kSlurmStep);
  EXPECT_EQ(Where(placement), "1 of 3, 1 of 2 here");
  EXPECT_EQ(placement.source, "Slurm");
  EXPECT_EQ(placement.master_address, "n1");
  EXPECT_EQ(placement.master_port, 15012);
  EXPECT_EQ(placement.store_file, "");
  EXPECT_EQ(placement.run_id, "slurm-12.0.0");

  placement = Read(
      With(kSlurmStep, {{"SLURM_PROCID", "2"}, {"SLURM_NODEID", "1"}, {"SLURM_LOCALID", "0"}}));
  EXPECT_EQ(Where(placement), "2 of 3, 0 of 1 here");
  EXPECT_EQ(placement.master_address, "n1");
  EXPECT_EQ(placement.master_port, 15012);
  EXPECT_EQ(placement.run_id, "slurm-12.0.0");

  placement = Read(With(kSlurmStep, {{"MASTER_ADDR", "ib1"}, {"MASTER_PORT", "777"}}));
  EXPECT_EQ(placement.master_address, "ib1");
  EXPECT_EQ(placement.master_port, 777);
}

TEST(Placement, SlurmJobsAndStepsAtOneTimeHavePortsOfTheirOwn) {
  const auto port = [](const char* job, const char* step) {
    return Read(With(kSlurmStep, {{"SLURM_JOB_ID", job}, {"SLURM_STEP_ID", step}})).master_port;
  };
  EXPECT_NE(port("12", "0"), port("13", "0"));
  EXPECT_NE(port("12", "0"), port("12", "1"));
  EXPECT_LT(port("4294967295", "4294967000"), 32768);  // from where Linux hands ports out
  EXPECT_GE(port("4294967295", "4294967000"), 1024);
}

TEST(Placement, SlurmStepOnOneMachineMeetsInAFile) {
  const Placement placement = Read(kSlurmOneNode);
  EXPECT_EQ(Where(placement), "1 of 2, 1 of 2 here");
  EXPECT_EQ(placement.store_file, fmt::format("/tmp/millrace-{}/slurm-12.0.0-44977", ::getuid()));
  EXPECT_EQ(placement.master_address, "");
  EXPECT_FALSE(placement.owns_cores);
  EXPECT_TRUE(Read(With(kSlurmOneNode, {{"SLURM_CPU_BIND_TYPE", "mask_cpu:"}})).owns_cores);
  EXPECT_FALSE(Read(With(kSlurmOneNode, {{"SLURM_CPU_BIND_TYPE", "none"}})).owns_cores);
  // After `scontrol requeue` the job's steps count from 0 again.
  EXPECT_NE(Read(With(kSlurmOneNode, {{"SLURM_RESTART_COUNT", "1"}})).run_id, placement.run_id);
}

TEST(Placement, SlurmWithoutAStepIsASingleProcess) {
  EXPECT_EQ(Where(Read(kSlurmBatch)), "0 of 1, 0 of 1 here");
  // An interactive step, as salloc makes it with LaunchParameters=use_interactive_step.
  EXPECT_EQ(Where(Read(With(kSlurmBatch, {{"SLURM_STEP_ID", "4294967290"}}))),
            "0 of 1, 0 of 1 here");
}

TEST(Placement, SlurmsListsThatCannotBeReadAreRefused) {
  EXPECT_THAT(Refusal(With(kSlurmStep, {{"SLURM_STEP_TASKS_PER_NODE", "2(x"}})),
              HasSubstr("SLURM_STEP_TASKS_PER_NODE is \"2(x\""));
  EXPECT_THAT(Refusal(With(kSlurmStep, {{"SLURM_STEP_NODELIST", "n["}})),
              AllOf(HasSubstr("SLURM_STEP_NODELIST is \"n[\""), HasSubstr("set MASTER_ADDR")));
}

TEST(Placement, MpirunInsideASlurmJobIsOpenMpi) {
  // mpirun starts its daemons with srun, one a machine, whose variables its processes inherit.
  const Placement placement = Read(With(kOpenMpi, {{"SLURM_STEP_ID", "0"},
                                                   {"SLURM_JOB_ID", "7"},
                                                   {"SLURM_PROCID", "0"},
                                                   {"SLURM_LOCALID", "0"},
                                                   {"SLURM_NODEID", "0"},
                                                   {"SLURM_STEP_NUM_TASKS", "2"},
                                                   {"SLURM_STEP_TASKS_PER_NODE", "1(x2)"}}));
  EXPECT_EQ(Where(placement), "1 of 2, 1 of 2 here");
  EXPECT_EQ(placement.source, "Open MPI");
}

TEST(Placement, PyTorchJobHasOneProcessAPod) {
  const Placement placement = Read(kPyTorchJob);
  EXPECT_EQ(Where(placement), "1 of 3, 0 of 1 here");
  EXPECT_EQ(placement.source, "Kubernetes");
  EXPECT_EQ(placement.master_address, "job-master-0");
  EXPECT_EQ(placement.master_port, 23456);
  EXPECT_FALSE(placement.master_is_agent);
  EXPECT_THAT(Refusal(With(kPyTorchJob, {{"PET_NPROC_PER_NODE", "8"}})),
              AllOf(HasSubstr("PET_NPROC_PER_NODE is 8, but LOCAL_RANK is not set"),
                    HasSubstr("nprocPerNode: \"1\"")));
}

TEST(Placement, IndexedJobNumbersItsPods) {
  const Placement placement = Read(kIndexedJob);
  EXPECT_EQ(Where(placement), "2 of 4, 0 of 1 here");
  EXPECT_EQ(placement.source, "Kubernetes");
  EXPECT_EQ(placement.master_address, "train-0.train");
  EXPECT_EQ(placement.master_port, 29500);
  EXPECT_THAT(Refusal(With(kIndexedJob, {{"WORLD_SIZE", ""}})),
              HasSubstr("JOB_COMPLETION_INDEX and MASTER_ADDR are set, but WORLD_SIZE is not"));
  EXPECT_THAT(Refusal(With(kIndexedJob, {{"RANK", "1"}})),
              HasSubstr("RANK is 1, but JOB_COMPLETION_INDEX is 2"));
  // A job of pods that know nothing of each other.
  EXPECT_EQ(Where(Read({{"JOB_COMPLETION_INDEX", "2"}})), "0 of 1, 0 of 1 here");
}

TEST(Placement, TrainJobHasOneProcessAPod) {
  // As the torch plugin of Kubeflow's trainer sets them for torchrun.
  const Variables pod = {{"PET_NNODES", "2"},          {"PET_NPROC_PER_NODE", "8"},
                         {"PET_NODE_RANK", "1"},       {"PET_MASTER_ADDR", "job-node-0-0.job"},
                         {"PET_MASTER_PORT", "29500"}, {"JOB_COMPLETION_INDEX", "1"}};
  const Placement placement = Read(pod);
  EXPECT_EQ(Where(placement), "1 of 2, 0 of 1 here");
  EXPECT_EQ(placement.source, "Kubernetes");
  EXPECT_EQ(placement.master_address, "job-node-0-0.job");
  EXPECT_EQ(placement.master_port, 29500);
  EXPECT_EQ(Read(With(pod, kTorchrun)).source, "torchrun");
  EXPECT_THAT(Refusal(With(pod, {{"PET_NODE_RANK", ""}})),
              HasSubstr("PET_MASTER_ADDR is set, but PET_NODE_RANK is not"));
}

TEST(Placement, RankWithoutALauncherIsTakenWhole) {
  const Variables all = {{"RANK", "3"},       {"WORLD_SIZE", "4"},       {"MASTER_ADDR", "node1"},
                         {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}, {"MASTER_PORT", "5"}};
  EXPECT_EQ(Where(Read(all)), "3 of 4, 1 of 2 here");
  EXPECT_EQ(Read(all).source, "RANK and WORLD_SIZE");
  EXPECT_THAT(Refusal({{"RANK", "0"}}), HasSubstr("RANK is set, but WORLD_SIZE is not"));
  EXPECT_THAT(Refusal({{"WORLD_SIZE", "2"}}), HasSubstr("WORLD_SIZE is set, but RANK is not"));
  EXPECT_THAT(Refusal(With(all, {{"LOCAL_WORLD_SIZE", ""}})),
              HasSubstr("LOCAL_RANK is set, but LOCAL_WORLD_SIZE is not"));
  EXPECT_THAT(Refusal(With(all, {{"MASTER_ADDR", ""}})),
              HasSubstr("MASTER_ADDR, the host of process 0, is not set"));
}

TEST(Placement, WhatContradictsItselfIsRefusedWithBothNames) {
  const Variables own = With(kOwn, {{"MILLRACE_STORE", "/s"}});
  EXPECT_THAT(Refusal(With(own, {{"WORLD_SIZE", "2"}, {"RANK", "3"}})),
              AllOf(HasSubstr("MILLRACE_PROCESSES is 4, but WORLD_SIZE is 2"),
                    HasSubstr("unset WORLD_SIZE")));
  EXPECT_THAT(Refusal(With(kSlurmStep, {{"WORLD_SIZE", "3"}, {"RANK", "0"}})),
              HasSubstr("SLURM_PROCID is 1, but RANK is 0"));
  EXPECT_THAT(Refusal(With(kOpenMpi, {{"WORLD_SIZE", "8"}})),
              HasSubstr("OMPI_COMM_WORLD_SIZE is 2, but WORLD_SIZE is 8"));
  // As scripts write it for PyTorch: RANK=$SLURM_PROCID.
  EXPECT_EQ(Read(With(kSlurmStep, {{"WORLD_SIZE", "3"}, {"RANK", "1"}})).source, "Slurm");
}

TEST(Placement, TorchrunsThatDoNotKnowOfEachOtherAreRefused) {
  const Variables both = With(kSlurmStep, kTorchrun);
  EXPECT_THAT(Refusal(both),
              AllOf(HasSubstr("SLURM_STEP_NUM_TASKS is 3, but GROUP_WORLD_SIZE is 1"),
                    HasSubstr("--nnodes 3")));
  EXPECT_EQ(Read(With(both, {{"GROUP_WORLD_SIZE", "3"}, {"WORLD_SIZE", "6"}})).source, "torchrun");
  EXPECT_THAT(Refusal(With(kOpenMpi, kTorchrun)), HasSubstr("OMPI_COMM_WORLD_SIZE is 2, but"));
  // One torchrun in a script's shell or in a step of one task.
  EXPECT_EQ(Read(With(kSlurmBatch, kTorchrun)).source, "torchrun");
  EXPECT_EQ(Read(With(both, {{"SLURM_STEP_NUM_TASKS", "1"}})).source, "torchrun");
}

TEST(Placement, CoresAreDividedUnlessTheProcessOwnsThem) {
  Placement placement;
  EXPECT_EQ(CoresOfProcess(16, placement), 16);
  placement.num_local_processes = 3;
  int sum = 0;
  for (placement.local_process = 0; placement.local_process < 3; ++placement.local_process) {
    sum += CoresOfProcess(16, placement);
    EXPECT_GE(CoresOfProcess(16, placement), 5);
    EXPECT_EQ(CoresOfProcess(2, placement), 1);
  }
  EXPECT_EQ(sum, 16);
  placement.owns_cores = true;
  EXPECT_EQ(CoresOfProcess(16, placement), 16);
}

TEST(Placement, GpusAreDividedEvenlyAndInOrder) {
  Placement placement;
  placement.source = "millrace launch";
  EXPECT_THAT(GpusOfProcess({0, 1, 2, 3}, placement), ElementsAre(0, 1, 2, 3));
  placement.num_local_processes = 2;
  placement.local_process = 1;
  EXPECT_THAT(GpusOfProcess({0, 1}, placement), ElementsAre(1));
  EXPECT_THAT(GpusOfProcess({4, 5, 6, 7}, placement), ElementsAre(6, 7));
  EXPECT_THAT(GpusOfProcess({}, placement), ElementsAre());
  const auto refusal = [&](const std::vector<int>& gpus) {
    return test::UsageErrorOf([&] { GpusOfProcess(gpus, placement); });
  };
  EXPECT_THAT(refusal({0, 1, 2}), HasSubstr("2 processes on this machine, which cannot share 3"));
  EXPECT_THAT(refusal({0}), HasSubstr("start one process for each GPU"));
  // srun --gpus-per-task=1 shows each process its own GPU alone.
  placement.source = "Slurm";
  EXPECT_THAT(GpusOfProcess({0}, placement), ElementsAre(0));
}

}  // namespace
}  // namespace millrace::pipeline
