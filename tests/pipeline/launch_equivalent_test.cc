#include "pipeline/launch/equivalent.h"

#include <gmock/gmock.h>

#include "tests/support/error_text.h"

namespace millrace::pipeline::launch {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

LaunchOptions Options(std::uint32_t processes, std::uint32_t nodes) {
  LaunchOptions options;
  options.processes = processes;
  options.nodes = nodes;
  options.arguments = {"train", "configs/My_Recipe.toml", "--out", "it's here"};
  return options;
}

TEST(EquivalentText, BeginsWithTheCommandThatMadeIt) {
  for (const std::string& kind : EquivalentKinds()) {
    EXPECT_THAT(EquivalentText(kind, Options(1, 2)),
                HasSubstr("# millrace launch -n 1 --nodes 2 --print " + kind +
                          " -- train configs/My_Recipe.toml --out 'it'\\''s here'\n"));
  }
}

TEST(EquivalentText, TrainingGoesOnFromItsCheckpointInAllOfThem) {
  for (const std::string& kind : EquivalentKinds()) {
    EXPECT_THAT(EquivalentText(kind, Options(1, 1)), HasSubstr("--resume"));
    LaunchOptions other = Options(1, 1);
    other.arguments = {"eval", "x.toml"};
    EXPECT_THAT(EquivalentText(kind, other), Not(HasSubstr("--resume")));
  }
}

TEST(EquivalentText, CountsAreWhereEachLauncherWantsThem) {
  EXPECT_THAT(EquivalentText("torchrun", Options(8, 1)),
              AllOf(StartsWith("#!/bin/sh\n"), HasSubstr("torchrun --standalone"),
                    HasSubstr("--nproc-per-node 8 --no-python"), Not(HasSubstr("max-restarts"))));
  LaunchOptions restarts = Options(8, 2);
  restarts.restarts = 3;
  EXPECT_THAT(EquivalentText("torchrun", restarts),
              AllOf(HasSubstr("--nnodes 2"), HasSubstr("--max-restarts 3")));
  EXPECT_THAT(EquivalentText("slurm", Options(8, 2)),
              AllOf(HasSubstr("--job-name=my-recipe\n"), HasSubstr("--nodes=2\n"),
                    HasSubstr("--ntasks-per-node=8\n")));
  EXPECT_THAT(EquivalentText("mpirun", Options(8, 2)),
              AllOf(HasSubstr("mpirun -n 16 "), HasSubstr("-N 8 -x MASTER_ADDR")));
  EXPECT_THAT(EquivalentText("mpirun", Options(8, 1)),
              AllOf(HasSubstr("mpirun -n 8 --bind-to none"), Not(HasSubstr("MASTER_ADDR"))));
  EXPECT_THAT(EquivalentText("kubernetes", Options(1, 3)),
              AllOf(HasSubstr("completions: 3\n"), HasSubstr("WORLD_SIZE, value: \"3\""),
                    HasSubstr("MASTER_ADDR, value: my-recipe-0.my-recipe}")));
  EXPECT_THAT(EquivalentText("kubernetes", Options(4, 1)),
              HasSubstr("args: [\"launch\", \"-n\", \"4\", \"--\", \"train\""));
  EXPECT_THAT(EquivalentText("pytorchjob", Options(1, 3)),
              AllOf(HasSubstr("Worker:\n      replicas: 2\n"), HasSubstr("nprocPerNode: \"1\"")));
}

TEST(EquivalentText, WhatALauncherCannotDoIsRefused) {
  const auto refusal = [](std::string_view kind, const LaunchOptions& options) {
    return test::UsageErrorOf([&] { EquivalentText(kind, options); });
  };
  EXPECT_THAT(refusal("slrum", Options(1, 1)),
              AllOf(HasSubstr("torchrun, slurm, mpirun"), HasSubstr("did you mean \"slurm\"?")));
  EXPECT_THAT(refusal("kubernetes", Options(8, 2)), HasSubstr("give -n 1 with --nodes 2"));
  EXPECT_THAT(refusal("pytorchjob", Options(8, 1)), HasSubstr("give -n 1"));
  LaunchOptions restarts = Options(1, 1);
  restarts.restarts = 1;
  for (const char* kind : {"slurm", "mpirun", "pytorchjob"}) {
    EXPECT_THAT(refusal(kind, restarts), HasSubstr("takes no --restarts"));
  }
}

TEST(EquivalentText, NamesOfJobsSuitKubernetes) {
  LaunchOptions options = Options(1, 1);
  options.arguments = {"train", "x/9--.toml"};
  EXPECT_THAT(EquivalentText("slurm", options), HasSubstr("--job-name=m-9\n"));
  options.arguments = {"train", "---.toml"};
  EXPECT_THAT(EquivalentText("slurm", options), HasSubstr("--job-name=millrace\n"));
}

}  // namespace
}  // namespace millrace::pipeline::launch
