#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "pipeline/launch/equivalent.h"
#include "pipeline/launch/launch.h"
#include "tools/command.h"

namespace millrace::tools {
namespace {

struct Options {
  pipeline::launch::LaunchOptions launch;
  std::string print;
};

ExitCode Run(const Options& options) {
  if (!options.print.empty()) {
    fmt::print("{}", pipeline::launch::EquivalentText(options.print, options.launch));
    return ExitCode::kDone;
  }
  pipeline::launch::LaunchOptions launch = options.launch;
  // When the program at the other end of a pipe ends, as tee may, the run goes on without it.
  std::signal(SIGPIPE, SIG_IGN);
  launch.program = std::filesystem::read_symlink("/proc/self/exe");
  launch.say = [](const std::string& line) {
    std::fprintf(stderr, "millrace launch: %s\n", line.c_str());
  };
  return pipeline::launch::Launch(launch);
}

}  // namespace

void AddLaunch(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "launch", "run a verb in several processes of one run, here or on a cluster");
  command->add_option("-n,--processes", options->launch.processes, "how many on this machine")
      ->required()
      ->check(CLI::Range(1, 1024).description("1 to 1024"));
  command
      ->add_option("--restarts", options->launch.restarts,
                   "after a failure start all again from the newest checkpoint, so many times")
      ->capture_default_str();
  command->add_option("--nodes", options->launch.nodes, "machines, each with a launch of its own")
      ->check(CLI::Range(1, 65536).description("1 to 65536"))
      ->capture_default_str();
  command->add_option("--node", options->launch.node, "which of them this is, counted from 0")
      ->capture_default_str();
  command->add_option("--master", options->launch.master,
                      "HOST:PORT, the machine of --node 0 and a port that is free there");
  command->add_option(
      "--print", options->print,
      fmt::format("start nothing; print what does the same under another launcher: {}",
                  fmt::join(pipeline::launch::EquivalentKinds(), ", ")));
  command->add_option("VERB", options->launch.arguments, "after --: train and its arguments")
      ->required();
  command->footer(
      "Examples:\n"
      "  millrace launch -n 8 -- train configs/imagenet-resnet50.toml --out runs/a\n"
      "  millrace launch -n 8 --restarts 3 -- train configs/imagenet-resnet50.toml --out runs/a\n"
      "  millrace launch -n 8 --nodes 2 --node 0 --master node0:29500 -- train my.toml\n"
      "  millrace launch -n 8 --nodes 2 --print slurm -- train my.toml > job.sh\n"
      "Lines of all processes but the first begin with [number]. When one fails, all are stopped. "
      "Ctrl-C ends\nwith a checkpoint and exit code 3, a second one at once. torchrun, srun and "
      "mpirun can start millrace\nwithout this verb.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
