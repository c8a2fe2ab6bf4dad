#include "pipeline/verify_resume.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <set>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "base/permutation.h"
#include "pipeline/launch/child.h"
#include "pipeline/run_record.h"

extern char** environ;  // NOLINT(readability-identifier-naming): the system's name

namespace millrace::pipeline {
namespace {

constexpr std::size_t kStops = 3;

// Runs the program to its end and returns its exit code.
int RunPiece(const VerifyResumeOptions& options, const std::vector<std::string>& further) {
  launch::ChildOptions child{.program = options.program,
                             .arguments = options.arguments,
                             .environment = {},
                             .out = STDERR_FILENO,
                             .err = STDERR_FILENO};
  child.arguments.insert(child.arguments.end(), further.begin(), further.end());
  for (char** variable = environ; *variable != nullptr; ++variable) {
    child.environment.emplace_back(*variable);
  }
  const launch::Child piece(child);
  bool asked = false;
  for (;;) {
    int status = 0;
    if (::waitpid(piece.pid(), &status, WNOHANG) == piece.pid()) {
      if (asked) Fail("interrupted; what has been trained is in {}", options.out.string());
      if (WIFSIGNALED(status)) Fail("a piece of the run was ended by signal {}", WTERMSIG(status));
      return WEXITSTATUS(status);
    }
    if (!asked && options.interrupt != nullptr && *options.interrupt) {
      asked = true;
      ::kill(piece.pid(), SIGTERM);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Require(int code, ExitCode wanted, const std::string& piece) {
  if (code != static_cast<int>(wanted)) {
    Fail("{} ended with exit code {}; its messages are above", piece, code);
  }
}

std::uint64_t StepsOf(const std::filesystem::path& folder) {
  std::uint64_t steps = 0;
  for (const RunLine& line : RunRecord::Read(folder).lines) {
    if (line.group == "train") steps = line.step;
  }
  return steps;
}

}  // namespace

std::vector<std::uint64_t> ChooseStops(std::uint64_t total_steps, std::size_t count,
                                       std::uint64_t seed) {
  if (total_steps < 2) return {};
  const Permutation steps(total_steps - 1, seed);
  std::set<std::uint64_t> chosen;
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(count, total_steps - 1); ++i) {
    chosen.insert(1 + steps(i));
  }
  return {chosen.begin(), chosen.end()};
}

VerifyResumeResult VerifyResume(const VerifyResumeOptions& options) {
  std::error_code code;
  if (std::filesystem::exists(options.out, code)) {
    FailUsage("--out {}: is there already; --verify-resume needs a new folder",
              options.out.string());
  }
  const std::filesystem::path undisturbed = options.out / "undisturbed";
  const std::filesystem::path resumed = options.out / "resumed";
  Require(RunPiece(options, {"--out", undisturbed.string()}), ExitCode::kDone,
          "the undisturbed run");
  VerifyResumeResult result;
  result.stops = ChooseStops(StepsOf(undisturbed), kStops, options.seed);
  if (result.stops.empty()) {
    FailUsage("a run of a single step cannot be stopped and continued: train longer");
  }
  for (const std::uint64_t stop : result.stops) {
    Require(RunPiece(options, {"--out", resumed.string(), "--resume", "auto", "--stop-after",
                               std::to_string(stop)}),
            ExitCode::kInterrupted, fmt::format("the run up to step {}", stop));
  }
  Require(RunPiece(options, {"--out", resumed.string(), "--resume", "auto"}), ExitCode::kDone,
          "the run behind its last stop");
  result.comparison = CompareRuns(undisturbed, resumed);
  return result;
}

}  // namespace millrace::pipeline
