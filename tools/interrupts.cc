#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "tools/command.h"

namespace millrace::tools {
namespace {

// Set from a signal handler.
std::atomic<bool> interrupted{false};
std::atomic<bool> signalled{false};  // by somebody else than the launcher
std::atomic<pid_t> launcher{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<pid_t>::is_always_lock_free);

void OnSignal(int signal, siginfo_t* info, void*) {
  const bool passed_on = info->si_code == SI_USER && info->si_pid == launcher;
  if (!passed_on && signalled.exchange(true)) ::_exit(128 + signal);
  if (interrupted.exchange(true)) return;
  static constexpr char kText[] =
      "\nstopping after the step under way; once more to stop at once\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof(kText) - 1);
}

void OnBusError(int) {
  static constexpr char kText[] =
      "\nmillrace: a file of the dataset was cut short, or its disk failed, while it was being "
      "read; `millrace verify` on the dataset says which\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(static_cast<int>(ExitCode::kFailed));
}

}  // namespace

void ExplainBusErrors() {
  struct sigaction action {};
  action.sa_handler = OnBusError;
  ::sigaction(SIGBUS, &action, nullptr);
}

const std::atomic<bool>& CatchInterrupts() {
  if (std::getenv("MILLRACE_PROCESS") != nullptr) launcher = ::getppid();
  struct sigaction action {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // A lost terminal, unless nohup has said that it does not matter.
  struct sigaction before {};
  ::sigaction(SIGHUP, nullptr, &before);
  if (before.sa_handler != SIG_IGN) ::sigaction(SIGHUP, &action, nullptr);
  return interrupted;
}

}  // namespace millrace::tools
