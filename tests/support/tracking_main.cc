// Gives a run's events to TensorBoard's files and the server that the environment names, for judges
// that then read what it left: tracking_judge FOLDER STEP PENDING [FINISH [KEEP-ALIVE]]. STEP and
// PENDING (0 or 1) are the ResumePoint, FINISH and KEEP-ALIVE [ms] are RemoteWaits; every line on
// standard input is a JSON object {"<kind>": {<members as in tracking/event.h>}}. {"kill": {}} ends
// the process by SIGKILL.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "tracking/png.h"
#include "tracking/run_log.h"
#include "tracking/system.h"
#include "tracking/tensorboard.h"

namespace millrace::tracking {
namespace {

using Json = nlohmann::ordered_json;

double Number(const Json& json) {
  return json.is_string() ? std::stod(json.get<std::string>()) : json.get<double>();
}

Event ReadEvent(const std::string& kind, const Json& json) {
  const auto name = json.value("name", "");
  const auto step = json.value("step", std::uint64_t{0});
  if (kind == "scalars") {
    Scalars scalars{.group = json.at("group"),
                    .step = step,
                    .epoch = json.value("epoch", std::uint32_t{1}),
                    .values = {},
                    .texts = {}};
    for (const auto& [key, value] : json.at("values").items()) {
      scalars.values.emplace_back(key, Number(value));
    }
    return scalars;
  }
  if (kind == "parameters") {
    Parameters parameters;
    for (const auto& [key, value] : json.items()) {
      if (value.is_boolean()) {
        parameters.values.emplace_back(key, value.get<bool>());
      } else if (value.is_number()) {
        parameters.values.emplace_back(key, value.get<double>());
      } else {
        parameters.values.emplace_back(key, value.get<std::string>());
      }
    }
    return parameters;
  }
  if (kind == "picture") {
    const std::uint32_t width = json.at("width");
    const std::uint32_t height = json.at("height");
    return Picture{
        .name = name,
        .step = step,
        .width = width,
        .height = height,
        .png = EncodePng(width, height, json.at("pixels").get<std::vector<std::uint8_t>>())};
  }
  if (kind == "note") return Note{.name = name, .step = step, .markdown = json.at("markdown")};
  if (kind == "histogram") {
    return Histogram{.name = name,
                     .step = step,
                     .min = json.at("min"),
                     .max = json.at("max"),
                     .sum = json.at("sum"),
                     .sum_of_squares = json.at("sum_of_squares"),
                     .limits = json.at("limits").get<std::vector<double>>(),
                     .counts = json.at("counts").get<std::vector<double>>()};
  }
  if (kind == "pr_curve") {
    const auto list = [&json](const char* key) { return json.at(key).get<std::vector<double>>(); };
    return PrCurve{.name = name,
                   .step = step,
                   .true_positives = list("tp"),
                   .false_positives = list("fp"),
                   .true_negatives = list("tn"),
                   .false_negatives = list("fn")};
  }
  if (kind == "artifact") return Artifact{.name = name, .path = json.at("path").get<std::string>()};
  if (kind == "status") {
    return Status{.state = Status::State{json.at("state").get<std::uint8_t>()},
                  .step = step,
                  .reason = json.value("reason", "")};
  }
  Fail("there is no event \"{}\"", kind);
}

int Main(int argc, char** argv) {
  RemoteWaits waits;
  if (argc > 4) waits.finish = std::chrono::milliseconds(std::stoll(argv[4]));
  if (argc > 5) waits.keep_alive = std::chrono::milliseconds(std::stoll(argv[5]));
  RunLog log;
  log.Add(std::make_unique<TensorBoard>(
      argv[1], ResumePoint{.step = std::stoull(argv[2]), .evaluation_pending = argv[3][0] == '1'}));
  auto remote = MakeRemote(
      ChooseSystem("auto").system,
      {.name = "judged",
       .dataset = "/data/set",
       .fingerprint = "00ff",
       .command = "exec millrace train recipe.toml"},
      argv[1], [&log](const std::string& line) { log.Text("{}", line); }, waits);
  if (remote != nullptr) log.Add(std::move(remote));
  for (std::string line; std::getline(std::cin, line);) {
    const Json object = Json::parse(line);
    for (const auto& [kind, json] : object.items()) {
      if (kind == "kill") {
        log.Flush();
        ::kill(::getpid(), SIGKILL);
      }
      log.Emit(ReadEvent(kind, json));
    }
  }
  log.Finish();
  return 0;
}

}  // namespace
}  // namespace millrace::tracking

int main(int argc, char** argv) {
  if (argc < 4 || argc > 6) {
    fmt::print(stderr,
               "usage: tracking_judge FOLDER STEP PENDING [FINISH-MS [KEEP-ALIVE-MS]] < EVENTS\n");
    return 2;
  }
  return millrace::tracking::Main(argc, argv);
}
