#include "pipeline/launch/launch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/private_folder.h"
#include "pipeline/launch/child.h"
#include "pipeline/launch/launchers.h"
#include "pipeline/launch/output.h"
#include "pipeline/launch/variables.h"
#include "pipeline/placement.h"

extern char** environ;  // NOLINT(readability-identifier-naming): the system's name

namespace millrace::pipeline::launch {
namespace {

using Clock = std::chrono::steady_clock;

// SIGINT, SIGTERM, SIGHUP and SIGCHLD, read instead of handled, while it lives.
class Signals {
 public:
  Signals() {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&wanted, signal);
    pthread_sigmask(SIG_BLOCK, &wanted, &before_);
    descriptor_ = Descriptor(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (descriptor_.number() < 0) Fail("cannot receive signals: {}", std::strerror(errno));
  }
  ~Signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int descriptor() const { return descriptor_.number(); }
  // The next one that came; 0: none.
  int Next() {
    signalfd_siginfo info{};
    const ssize_t got = ::read(descriptor_.number(), &info, sizeof(info));
    return got == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  sigset_t before_{};
  Descriptor descriptor_;
};

// The file in which the processes of one attempt meet.
class StoreFile {
 public:
  explicit StoreFile(std::uint32_t attempt) {
    const Variables::Get environment = ProcessEnvironment();
    const std::filesystem::path folder = StoreFolder(Variables(environment));
    CreatePrivateFolder(folder);
    run_id_ = fmt::format("launch-{}-{:x}-{}", ::getpid(), NowNs(), attempt);
    path_ = folder / run_id_;
  }
  ~StoreFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  StoreFile(const StoreFile&) = delete;
  StoreFile& operator=(const StoreFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::string& run_id() const { return run_id_; }

 private:
  std::filesystem::path path_;
  std::string run_id_;
};

// Whoever reads the other end may have gone; the run goes on without it.
void WriteAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// One output of a process on its way to ours.
struct Stream {
  Descriptor from;
  int to = -1;
  LinePrefix lines;  // whole ones, so that those of two processes never mix

  void Write(const std::string& text) const {
    if (text.empty()) return;
    // A bar of process 0 may stand on the terminal's line, and is drawn again below.
    WriteAll(to, ::isatty(to) == 1 ? "\r\x1b[K" + text : text);
  }
  // Passes on what is there.
  void Drain(LastMessage* message) {
    std::array<char, 16384> buffer;
    for (;;) {
      const ssize_t got = ::read(from.number(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return;  // nothing more for now
      const std::string_view piece(buffer.data(),
                                   static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (message != nullptr) message->Add(piece);
      Write(lines.Add(piece));
      if (got == 0) break;
    }
    Finish();
  }
  void Finish() {
    if (from.number() < 0) return;
    Write(lines.Rest());
    from.Close();
  }
};

struct Process {
  std::uint32_t number = 0;  // in the whole run
  pid_t pid = -1;            // -1: has ended
  Stream out;
  Stream err;
  LastMessage message;
};

struct Failure {
  std::uint32_t process = 0;
  ExitCode exit_code = ExitCode::kFailed;
  std::string text;
};

bool StartsWithName(std::string_view variable, std::string_view name) {
  return variable.starts_with(name) && variable.substr(name.size()).starts_with('=');
}

// Our own environment without what tells a process of its place.
std::vector<std::string> CommonEnvironment() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    bool placement = false;
    for (const char* name :
         {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MILLRACE_PROCESS",
          "MILLRACE_PROCESSES", "MILLRACE_LOCAL_PROCESS", "MILLRACE_LOCAL_PROCESSES",
          "MILLRACE_STORE", "MILLRACE_MASTER", "MILLRACE_RUN_ID"}) {
      placement = placement || StartsWithName(variable, name);
    }
    if (!placement) variables.emplace_back(variable);
  }
  return variables;
}

// All processes of one attempt, from their start to their end.
class Attempt {
 public:
  Attempt(const LaunchOptions& options, const std::vector<std::string>& arguments,
          std::uint32_t number, Signals& signals)
      : options_(options), signals_(signals), store_(number) {
    const std::vector<std::string> common = CommonEnvironment();
    for (std::uint32_t local = 0; local < options.processes; ++local)
      Start(arguments, common, local);
  }
  ~Attempt() {  // started only in part
    for (const auto& process : processes_) {
      if (process->pid < 0) continue;
      ::kill(process->pid, SIGKILL);
      ::waitpid(process->pid, nullptr, 0);
    }
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Until the last one has ended.
  void Run() {
    while (Running()) {
      Wait();
      for (int signal = signals_.Next(); signal != 0; signal = signals_.Next()) {
        if (signal != SIGCHLD) Interrupt(signal);
      }
      Reap();
      StopOthers();
    }
    for (const auto& process : processes_) {
      for (Stream* stream : {&process->out, &process->err}) {
        if (stream->from.number() >= 0) stream->Drain(nullptr);
        stream->Finish();
      }
    }
  }

  const std::optional<Failure>& failure() const { return failure_; }
  int interrupted_by() const { return interrupted_by_; }
  bool killed() const { return killed_; }
  ExitCode exit_code() const { return checkpointed_ ? ExitCode::kInterrupted : ExitCode::kDone; }

 private:
  void Start(const std::vector<std::string>& arguments, const std::vector<std::string>& common,
             std::uint32_t local) {
    auto process = std::make_unique<Process>();
    process->number = options_.node * options_.processes + local;
    ChildOptions child{.program = options_.program, .arguments = arguments, .environment = common};
    const auto set = [&](std::string_view name, const auto& value) {
      child.environment.push_back(fmt::format("{}={}", name, value));
    };
    set("MILLRACE_PROCESS", process->number);
    set("MILLRACE_PROCESSES", options_.processes * options_.nodes);
    set("MILLRACE_LOCAL_PROCESS", local);
    set("MILLRACE_LOCAL_PROCESSES", options_.processes);
    if (options_.nodes > 1) {
      set("MILLRACE_MASTER", options_.master);
    } else {
      set("MILLRACE_STORE", store_.path().string());
      set("MILLRACE_RUN_ID", store_.run_id());
    }
    std::string prefix;
    if (process->number == 0) {  // it keeps its bar where there is a terminal
      if (::isatty(options_.out) == 1) child.out = options_.out;
      if (::isatty(options_.err) == 1) child.err = options_.err;
    } else {
      prefix = fmt::format("[{}] ", process->number);
    }
    Child started(child);
    process->pid = started.pid();
    const LinePrefix lines(prefix);
    process->out = {.from = std::move(started.out()), .to = options_.out, .lines = lines};
    process->err = {.from = std::move(started.err()), .to = options_.err, .lines = lines};
    processes_.push_back(std::move(process));
  }

  bool Running() const {
    return std::any_of(processes_.begin(), processes_.end(),
                       [](const auto& process) { return process->pid >= 0; });
  }

  // For a signal, output or a deadline; passes output on.
  void Wait() {
    std::vector<pollfd> polled = {{.fd = signals_.descriptor(), .events = POLLIN, .revents = 0}};
    std::vector<std::pair<Stream*, LastMessage*>> streams;
    for (const auto& process : processes_) {
      for (Stream* stream : {&process->out, &process->err}) {
        if (stream->from.number() < 0) continue;
        polled.push_back({.fd = stream->from.number(), .events = POLLIN, .revents = 0});
        streams.emplace_back(stream, stream == &process->err ? &process->message : nullptr);
      }
    }
    int timeout_ms = -1;
    if (deadline_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
      timeout_ms = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
    }
    if (::poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (polled[i + 1].revents != 0) streams[i].first->Drain(streams[i].second);
    }
  }

  void SignalAll(int signal) {
    for (const auto& process : processes_) {
      if (process->pid >= 0) ::kill(process->pid, signal);
    }
  }

  void Interrupt(int signal) {
    if (interrupted_by_ != 0) {
      killed_ = true;
      SignalAll(SIGKILL);
    } else {
      SignalAll(signal);
    }
    interrupted_by_ = signal;
  }

  void Reap() {
    for (const auto& process : processes_) {
      int status = 0;
      if (process->pid < 0 || ::waitpid(process->pid, &status, WNOHANG) != process->pid) continue;
      process->pid = -1;
      // What it said last may still be in the pipe.
      if (process->err.from.number() >= 0) process->err.Drain(&process->message);
      End(*process, status);
    }
  }

  void End(const Process& process, int status) {
    const std::string who =
        fmt::format("process {} of {}", process.number, options_.processes * options_.nodes);
    Failure failure{.process = process.number, .exit_code = ExitCode::kFailed, .text = {}};
    if (WIFSIGNALED(status)) {
      const int signal = WTERMSIG(status);
      const char* name = ::sigabbrev_np(signal);
      failure.text = fmt::format("{} was killed by SIG{}{}", who, name != nullptr ? name : "?",
                                 signal == SIGKILL ? " (out of memory, or from outside)" : "");
    } else {
      const int code = WEXITSTATUS(status);
      if (code == static_cast<int>(ExitCode::kDone)) return;
      if (code == static_cast<int>(ExitCode::kInterrupted)) {
        checkpointed_ = true;
        return;
      }
      failure.exit_code = static_cast<ExitCode>(code);
      const std::string message = process.message.Text();
      failure.text = message.empty() ? fmt::format("{} ended with exit code {}", who, code)
                                     : fmt::format("{}: {}", who, message);
    }
    // What fails from now on is a consequence.
    if (failure_ || killed_) return;
    failure_ = std::move(failure);
    deadline_ = Clock::now() + options_.notice;
  }

  // After a failure, when the others have not ended by themselves.
  void StopOthers() {
    if (!deadline_ || Clock::now() < *deadline_) return;
    SignalAll(asked_ ? SIGKILL : SIGTERM);
    deadline_.reset();
    if (!asked_) deadline_ = Clock::now() + options_.grace;
    asked_ = true;
  }

  const LaunchOptions& options_;
  Signals& signals_;
  StoreFile store_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::optional<Failure> failure_;
  std::optional<Clock::time_point> deadline_;  // for what StopOthers() does next
  bool asked_ = false;                         // the others were asked to end
  bool checkpointed_ = false;                  // one has ended as interrupted
  bool killed_ = false;                        // by a second signal
  int interrupted_by_ = 0;                     // signal
};

void Check(const LaunchOptions& options) {
  if (options.node >= options.nodes) {
    FailUsage("--node {}: there are {} machines (--nodes), counted from 0", options.node,
              options.nodes);
  }
  if (options.nodes > 1 && options.master.empty()) {
    FailUsage(
        "--nodes {}: give --master HOST:PORT as well, the machine of --node 0 and a port that is "
        "free there",
        options.nodes);
  }
  if (options.nodes == 1 && !options.master.empty()) {
    FailUsage("--master is for several machines; give --nodes as well, or leave it out");
  }
  if (options.restarts > 0) {
    if (options.arguments.empty() || options.arguments.front() != "train") {
      FailUsage("--restarts goes on from checkpoints, which only `train` writes; leave it out");
    }
    const auto resume = std::find_if(options.arguments.begin(), options.arguments.end(),
                                     [](const std::string& word) {
                                       return word == "--resume" || word.starts_with("--resume=");
                                     });
    if (resume != options.arguments.end() &&
        (*resume == "--resume" ? resume + 1 == options.arguments.end() || *(resume + 1) != "auto"
                               : *resume != "--resume=auto")) {
      FailUsage(
          "--restarts goes on from the newest checkpoint of --out, which there may not be yet; put "
          "the one that --resume names into its checkpoints/ and write --resume auto");
    }
  }
  const Placement outer = PlacementFromEnvironment(ProcessEnvironment());
  if (outer.num_processes > 1 && (options.nodes == 1 || outer.source == "millrace launch")) {
    FailUsage(
        "{} has already started {} processes, of which this is number {}; start what comes after "
        "-- directly, or one `millrace launch` for each machine with --nodes",
        outer.source, outer.num_processes, outer.process);
  }
}

}  // namespace

std::vector<std::string> ResumeArguments(const std::vector<std::string>& arguments) {
  const bool given = std::any_of(arguments.begin(), arguments.end(), [](const std::string& word) {
    return word == "--resume" || word.starts_with("--resume=");
  });
  std::vector<std::string> result = arguments;
  if (!given) result.insert(result.end(), {"--resume", "auto"});
  return result;
}

ExitCode Launch(const LaunchOptions& options) {
  Check(options);
  Signals signals;
  std::vector<std::string> arguments = options.arguments;
  for (std::uint32_t restart = 0;; ++restart) {
    Attempt attempt(options, arguments, restart, signals);
    attempt.Run();
    if (attempt.killed()) return static_cast<ExitCode>(128 + attempt.interrupted_by());
    if (!attempt.failure()) return attempt.exit_code();
    const Failure& failure = *attempt.failure();
    if (restart == options.restarts || failure.exit_code == ExitCode::kUsage ||
        attempt.interrupted_by() != 0) {
      throw Error(failure.text, failure.exit_code);
    }
    arguments = ResumeArguments(options.arguments);
    options.say(
        fmt::format("{}; starting all processes again from the newest checkpoint ({} of {})",
                    failure.text, restart + 1, options.restarts));
  }
}

}  // namespace millrace::pipeline::launch
