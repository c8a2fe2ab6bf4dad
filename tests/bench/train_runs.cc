// Trains several runs one after another in one process, for comparisons in which what differs from
// process to process must not count (tracking_cost.py).
//
//   build/release/tests/bench/train_runs < RUNS
//
// RUNS: a line for each run, {"recipe": FILE, "data": FOLDER, "out": FOLDER, "set":
// ["section.key=value"], "environment": {NAME: VALUE}}, which begins when its line is there. A run
// has the environment variables of its own and none of the others'. Behind each the standard output
// has its folder in a line.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/trainer.h"
#include "tools/command.h"
#include "tracking/console.h"
#include "tracking/run_log.h"

namespace millrace {
namespace {

void Train(const nlohmann::json& run) {
  for (const auto& [name, value] : run.at("environment").items()) {
    ::setenv(name.c_str(), value.get<std::string>().c_str(), 1);
  }
  const auto recipe = pipeline::Recipe::Load(run.at("recipe").get<std::string>(),
                                             run.at("set").get<std::vector<std::string>>());
  tracking::RunLog log;
  log.Add(std::make_unique<tracking::Console>());
  pipeline::Train(recipe,
                  {.dataset = run.at("data").get<std::string>(),
                   .out = run.at("out").get<std::string>(),
                   .devices = pipeline::Devices::Parse("cpu"),
                   .resume = {}},
                  log);
  log.Finish();
  for (const auto& [name, value] : run.at("environment").items()) ::unsetenv(name.c_str());
}

}  // namespace
}  // namespace millrace

int main() {
  try {
    millrace::tools::KeepTensorMemory();
    for (std::string line; std::getline(std::cin, line);) {
      const auto run = nlohmann::json::parse(line);
      millrace::Train(run);
      fmt::print("{}\n", run.at("out").get<std::string>());
      std::fflush(stdout);
    }
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "train_runs: {}\n", error.what());
    return 1;
  }
}
