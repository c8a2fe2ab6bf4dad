#include "pipeline/run_status.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;
using State = RunStatus::State;

constexpr std::array kStates = {State::kRunning, State::kFinished, State::kInterrupted,
                                State::kFailed};

}  // namespace

RunStatus RunStatus::Begin(const std::optional<RunStatus>& before, std::uint64_t step,
                           std::uint64_t total_steps, std::int64_t now, std::int64_t last_sign) {
  RunStatus status;
  status.began = now;
  if (before) status = *before;
  if (before && before->state == State::kRunning) {
    status.worked += std::max<std::int64_t>(0, last_sign - before->part_began);
  }
  status.state = State::kRunning;
  status.step = step;
  status.total_steps = total_steps;
  status.reason.clear();
  ++status.parts;
  status.part_began = now;
  status.ended = 0;
  return status;
}

void RunStatus::End(State how, std::uint64_t steps_done, std::string why, std::int64_t now,
                    std::int64_t seconds) {
  state = how;
  step = steps_done;
  reason = std::move(why);
  ended = now;
  worked += seconds;
}

std::string RunStatus::ToJson() const {
  const Json json = {{"state", StateName(state)}, {"step", step},   {"total_steps", total_steps},
                     {"reason", reason},          {"parts", parts}, {"began", began},
                     {"part_began", part_began},  {"ended", ended}, {"worked_s", worked}};
  // A reason may hold a path of any bytes; what is not UTF-8 is shown as a replacement character.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<RunStatus> RunStatus::ReadIfThere(const std::filesystem::path& file) {
  try {
    const Json json = Json::parse(ReadFile(file));
    const auto state = std::find_if(kStates.begin(), kStates.end(), [&json](State one) {
      return json.at("state") == StateName(one);
    });
    if (state == kStates.end()) return {};
    return RunStatus{.state = *state,
                     .step = json.at("step"),
                     .total_steps = json.at("total_steps"),
                     .reason = json.at("reason"),
                     .parts = json.at("parts"),
                     .began = json.at("began"),
                     .part_began = json.at("part_began"),
                     .ended = json.at("ended"),
                     .worked = json.at("worked_s")};
  } catch (const Json::exception&) {
    return {};
  } catch (const Error&) {
    return {};
  }
}

const char* StateName(RunStatus::State state) {
  switch (state) {
    case State::kRunning:
      return "running";
    case State::kFinished:
      return "finished";
    case State::kInterrupted:
      return "interrupted";
    case State::kFailed:
      return "failed";
  }
  return "";
}

std::int64_t WrittenAt(const std::filesystem::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 ? status.st_mtime : 0;
}

}  // namespace millrace::pipeline
