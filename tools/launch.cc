#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "pipeline/launch/launch.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

using pipeline::launch::LaunchOptions;

ExitCode Run(LaunchOptions options) {
  // When the program at the other end of a pipe ends, as tee may, the run goes on without it.
  std::signal(SIGPIPE, SIG_IGN);
  options.program = std::filesystem::read_symlink("/proc/self/exe");
  options.say = [](const std::string& line) {
    std::fprintf(stderr, "millrace launch: %s\n", line.c_str());
  };
  return pipeline::launch::Launch(options);
}

}  // namespace

void AddLaunch(CLI::App& app, Action& action) {
  auto options = std::make_shared<LaunchOptions>();
  CLI::App* command = app.add_subcommand(
      "launch", "run a verb in several processes of one run, here or on a cluster");
  command->add_option("-n,--processes", options->processes, "how many on this machine")
      ->required()
      ->check(CLI::Range(1, 1024).description("1 to 1024"));
  command
      ->add_option("--restarts", options->restarts,
                   "after a failure start all again from the newest checkpoint, so many times")
      ->capture_default_str();
  command->add_option("--nodes", options->nodes, "machines, each with a launch of its own")
      ->check(CLI::Range(1, 65536).description("1 to 65536"))
      ->capture_default_str();
  command->add_option("--node", options->node, "which of them this is, counted from 0")
      ->capture_default_str();
  command->add_option("--master", options->master,
                      "HOST:PORT, the machine of --node 0 and a port that is free there");
  command->add_option("VERB", options->arguments, "after --: train and its arguments")->required();
  command->footer(
      "Examples:\n"
      "  millrace launch -n 8 -- train configs/imagenet-resnet50.toml --out runs/a\n"
      "  millrace launch -n 8 --restarts 3 -- train configs/imagenet-resnet50.toml --out runs/a\n"
      "  millrace launch -n 8 --nodes 2 --node 0 --master node0:29500 -- train my.toml\n"
      "Lines of all processes but the first begin with [number]. When one fails, all are stopped. "
      "Ctrl-C ends\nwith a checkpoint and exit code 3, a second one at once. torchrun, srun and "
      "mpirun can start millrace\nwithout this verb.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
