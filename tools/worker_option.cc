#include "tools/worker_option.h"

#include <charconv>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace millrace::tools {
namespace {

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

std::optional<std::uint32_t> FromEnvironment(const Environment& environment, const char* name) {
  const char* text = environment(name);
  if (text == nullptr) return {};
  const auto number = ParseNumber(text);
  if (!number) FailUsage("{} is \"{}\", which is no number", name, text);
  return number;
}

std::uint32_t Needed(const Environment& environment, const char* name, const char* beside) {
  const auto number = FromEnvironment(environment, name);
  if (!number)
    FailUsage("--worker auto: {} is set, but {} is not; give --worker I/N", beside, name);
  return *number;
}

// What the job's environment says; a count of 0: it does not say how many there are.
storage::SourcePart FromJob(const Environment& environment) {
  if (const auto task = FromEnvironment(environment, "SLURM_ARRAY_TASK_ID")) {
    const auto first = Needed(environment, "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_ID");
    const auto last = Needed(environment, "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_ID");
    const auto count = Needed(environment, "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_ID");
    if (*task < first || last - first + 1 != count) {
      FailUsage(
          "--worker auto: the Slurm array runs from {} to {} in {} tasks; use one without gaps, as "
          "in --array=0-15",
          first, last, count);
    }
    return {*task - first, count};
  }
  if (const auto process = FromEnvironment(environment, "SLURM_PROCID")) {
    return {*process, Needed(environment, "SLURM_NTASKS", "SLURM_PROCID")};
  }
  if (const auto index = FromEnvironment(environment, "JOB_COMPLETION_INDEX")) return {*index, 0};
  FailUsage(
      "--worker auto: this is neither a Slurm job nor a Kubernetes indexed job "
      "(SLURM_ARRAY_TASK_ID, SLURM_PROCID and JOB_COMPLETION_INDEX are not set); give --worker "
      "I/N");
}

}  // namespace

storage::SourcePart ParseWorker(const std::string& text, const Environment& environment) {
  const auto slash = text.find('/');
  const std::string first = text.substr(0, slash);
  std::optional<std::uint32_t> count;
  if (slash != std::string::npos) count = ParseNumber(std::string_view(text).substr(slash + 1));
  const auto index = ParseNumber(first);
  const bool is_auto = first == "auto" && (count || slash == std::string::npos);
  if (!is_auto && (!index || !count)) {
    FailUsage("--worker {}: write I/N, as in 3/16 for the fourth of sixteen, or auto", text);
  }
  storage::SourcePart part{index.value_or(0), count.value_or(0)};
  if (is_auto) {
    const storage::SourcePart job = FromJob(environment);
    part = {job.index, count.value_or(job.count)};
    if (part.count == 0) {
      FailUsage(
          "--worker auto: Kubernetes says which one this is (JOB_COMPLETION_INDEX {}), but not of "
          "how many; give --worker auto/N, N being the job's completions",
          part.index);
    }
  }
  if (part.index >= part.count) {
    FailUsage("there is no worker {} of {}; they are counted from 0", part.index, part.count);
  }
  return part;
}

}  // namespace millrace::tools
