#include "pipeline/launch/launch.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::pipeline::launch {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

// Launches a shell script instead of millrace, with its output in files of its own.
class Launcher {
 public:
  explicit Launcher(std::uint32_t processes, const std::string& script)
      : Launcher(processes, std::vector<std::string>{"-c", script}) {}

  Launcher(std::uint32_t processes, std::vector<std::string> arguments) {
    ::setenv("TMPDIR", folder_.path().c_str(), 1);
    options.program = "/bin/sh";
    options.arguments = std::move(arguments);
    options.processes = processes;
    options.say = [this](const std::string& line) { said.push_back(line); };
    options.out = ::open((folder_ / "out").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    options.err = ::open((folder_ / "err").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  }
  ~Launcher() {
    ::close(options.out);
    ::close(options.err);
    ::unsetenv("TMPDIR");
  }

  ExitCode Run() { return Launch(options); }
  // The error with which it must end.
  Error Fails() {
    try {
      Launch(options);
    } catch (const Error& error) {
      return error;
    }
    return Error("it did not fail", ExitCode::kDone);
  }
  std::string Out() { return ReadFile(folder_ / "out"); }
  std::string Err() { return ReadFile(folder_ / "err"); }
  std::filesystem::path File(const std::string& name) { return folder_ / name; }
  // Files in which processes have met, that are still there.
  std::size_t Stores() {
    const auto folder = folder_ / ("millrace-" + std::to_string(::getuid()));
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }

  LaunchOptions options;
  std::vector<std::string> said;

 private:
  test::TemporaryFolder folder_;
};

TEST(Launch, ProcessesKnowTheirPlaceAndMeetInOneFile) {
  Launcher launcher(3,
                    "echo $MILLRACE_PROCESS of $MILLRACE_PROCESSES, $MILLRACE_LOCAL_PROCESS of "
                    "$MILLRACE_LOCAL_PROCESSES here; echo $MILLRACE_RUN_ID >> $MILLRACE_STORE; "
                    "[ $MILLRACE_PROCESS = 0 ] || exit 0; "
                    "while [ $(wc -l < $MILLRACE_STORE) -lt 3 ]; do sleep 0.01; done; "
                    "echo $(sort -u $MILLRACE_STORE | wc -l) run");
  EXPECT_EQ(launcher.Run(), ExitCode::kDone);
  EXPECT_THAT(
      launcher.Out(),
      AllOf(HasSubstr("0 of 3, 0 of 3 here\n"), HasSubstr("[1] 1 of 3, 1 of 3 here\n"),
            HasSubstr("[2] 2 of 3, 2 of 3 here\n"), HasSubstr("1 run\n"), Not(HasSubstr("[0]"))));
  EXPECT_EQ(launcher.Stores(), 0U);
}

TEST(Launch, SeveralMachinesMeetAtTheirMaster) {
  Launcher launcher(
      2, "echo $MILLRACE_PROCESS of $MILLRACE_PROCESSES at $MILLRACE_MASTER $MILLRACE_STORE");
  launcher.options.nodes = 3;
  launcher.options.node = 2;
  launcher.options.master = "node0:29500";
  EXPECT_EQ(launcher.Run(), ExitCode::kDone);
  EXPECT_THAT(launcher.Out(), AllOf(HasSubstr("[4] 4 of 6 at node0:29500\n"),
                                    HasSubstr("[5] 5 of 6 at node0:29500\n")));
}

TEST(Launch, BothStreamsArePassedOnToTheLastByte) {
  Launcher launcher(2, "echo out; echo err >&2; printf 'no end' >&2; seq 20000 | sed 's/^/line /'");
  EXPECT_EQ(launcher.Run(), ExitCode::kDone);
  EXPECT_THAT(launcher.Out(), AllOf(HasSubstr("out\n"), HasSubstr("[1] out\n"),
                                    HasSubstr("line 20000\n"), HasSubstr("[1] line 20000\n")));
  const std::string err = launcher.Err();
  for (const char* line : {"err\n", "no end\n", "[1] err\n", "[1] no end\n"}) {
    EXPECT_THAT(err, HasSubstr(line));
  }
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 4);
  EXPECT_THAT(err, Not(HasSubstr("out")));
}

TEST(Launch, FailureStopsTheOthersAndIsWhatIsTold) {
  Launcher launcher(3,
                    "case $MILLRACE_PROCESS in "
                    "1) while ! [ -e $TMPDIR/0 -a -e $TMPDIR/2 ]; do sleep 0.01; done; "
                    "echo 'millrace: shard 3 is damaged' >&2; exit 1;; "
                    "*) trap 'echo asked to end; echo millrace: consequence >&2; exit 1' TERM; "
                    "touch $TMPDIR/$MILLRACE_PROCESS; while :; do sleep 0.01; done;; esac");
  launcher.options.notice = 10ms;
  const Error error = launcher.Fails();
  EXPECT_STREQ(error.what(), "process 1 of 3: shard 3 is damaged");
  EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
  EXPECT_THAT(launcher.Out(), AllOf(HasSubstr("asked to end\n"), HasSubstr("[2] asked to end\n")));
  EXPECT_THAT(launcher.Err(), HasSubstr("[1] millrace: shard 3 is damaged\n"));
  EXPECT_EQ(launcher.Stores(), 0U);
}

TEST(Launch, ProcessThatDoesNotEndIsKilled) {
  Launcher launcher(2,
                    "if [ $MILLRACE_PROCESS = 0 ]; then while ! [ -s $TMPDIR/pid ]; do sleep "
                    "0.01; done; exit 1; fi; trap '' TERM; echo $$ > $TMPDIR/pid; "
                    "while :; do sleep 0.01; done");
  launcher.options.notice = launcher.options.grace = 10ms;
  EXPECT_STREQ(launcher.Fails().what(), "process 0 of 2 ended with exit code 1");
  const pid_t pid = std::stoi(ReadFile(launcher.File("pid")));
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Launch, OthersThatEndByThemselvesAreNotSignalled) {
  Launcher launcher(2,
                    "trap 'echo signalled' TERM; [ $MILLRACE_PROCESS = 1 ] && exit 1; sleep 0.2; "
                    "echo 'millrace: process 1 is gone' >&2; exit 1");
  EXPECT_STREQ(launcher.Fails().what(), "process 1 of 2 ended with exit code 1");
  EXPECT_THAT(launcher.Err(), HasSubstr("process 1 is gone"));
  EXPECT_THAT(launcher.Out(), Not(HasSubstr("signalled")));
}

TEST(Launch, KilledProcessIsNamedWithItsSignal) {
  Launcher launcher(2, "[ $MILLRACE_PROCESS = 1 ] && kill -KILL $$; sleep 100");
  launcher.options.notice = launcher.options.grace = 10ms;
  const Error error = launcher.Fails();
  EXPECT_THAT(error.what(), HasSubstr("process 1 of 2 was killed by SIGKILL (out of memory"));
  EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
}

TEST(Launch, ProgramThatIsNotThereIsTold) {
  Launcher launcher(1, "");
  launcher.options.program = "/no/such/program";
  EXPECT_STREQ(launcher.Fails().what(),
               "process 0 of 1: cannot start /no/such/program: No such file or directory");
}

// A script that ends as `train` does: interrupted, with exit code 3. Process 1 interrupts the
// launcher once all are ready for it.
std::string Interruptible(const std::string& on_signal) {
  return "trap '" + on_signal +
         "' TERM; touch $TMPDIR/ready-$MILLRACE_PROCESS; if [ $MILLRACE_PROCESS = 1 ]; then "
         "while ! [ -e $TMPDIR/ready-0 ]; do sleep 0.01; done; kill -TERM $PPID; fi; "
         "while :; do sleep 0.01; done";
}

TEST(Launch, InterruptionIsPassedOnOnceAndEndsWithThree) {
  Launcher launcher(2, Interruptible("echo once; sleep 0.2; exit 3"));
  EXPECT_EQ(launcher.Run(), ExitCode::kInterrupted);
  EXPECT_THAT(launcher.Out(), AnyOf("once\n[1] once\n", "[1] once\nonce\n"));
}

TEST(Launch, SecondInterruptionKills) {
  Launcher launcher(2, Interruptible("[ $MILLRACE_PROCESS = 1 ] && kill -TERM $PPID"));
  EXPECT_EQ(static_cast<int>(launcher.Run()), 128 + SIGTERM);
}

TEST(Launch, ProcessThatFailsOnAnInterruptionIsAFailure) {
  Launcher launcher(
      2,
      Interruptible("[ $MILLRACE_PROCESS = 1 ] && exit 3; echo millrace: disk full >&2; exit 1"));
  EXPECT_STREQ(launcher.Fails().what(), "process 0 of 2: disk full");
}

TEST(Launch, ProcessInterruptedByItselfIsNoFailure) {
  Launcher launcher(2, "exit 3");
  EXPECT_EQ(launcher.Run(), ExitCode::kInterrupted);
}

class LaunchRestarts : public ::testing::Test {
 protected:
  // A launcher of "sh train ARGS" in a folder where the file `train` is `script`.
  void Prepare(const std::string& script, std::vector<std::string> arguments = {}) {
    std::ofstream(folder_ / "train") << script;
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(folder_.path());
    arguments.insert(arguments.begin(), "train");
    launcher_ = std::make_unique<Launcher>(2, arguments);
    launcher_->options.notice = launcher_->options.grace = 10ms;
    launcher_->options.restarts = 2;
  }
  ~LaunchRestarts() override {
    if (!before_.empty()) std::filesystem::current_path(before_);
  }

  test::TemporaryFolder folder_;
  std::filesystem::path before_;
  std::unique_ptr<Launcher> launcher_;
};

TEST_F(LaunchRestarts, GoOnFromTheNewestCheckpointInANewStore) {
  Prepare(
      "echo $MILLRACE_RUN_ID > run-$MILLRACE_PROCESS-$#\n"
      "[ $MILLRACE_PROCESS = 0 ] && echo \"$@\"\n"
      "[ $# = 3 ] && exit 0\n"
      "touch ready-$MILLRACE_PROCESS\n"
      "while ! [ -e ready-0 ]; do sleep 0.01; done\n"
      "[ $MILLRACE_PROCESS = 1 ] && kill -KILL $$\n"
      "exit 0",
      {"recipe.toml"});
  EXPECT_EQ(launcher_->Run(), ExitCode::kDone);
  EXPECT_EQ(launcher_->Out(), "recipe.toml\nrecipe.toml --resume auto\n");
  EXPECT_THAT(launcher_->said,
              ElementsAre(AllOf(HasSubstr("process 1 of 2 was killed by SIGKILL"),
                                HasSubstr("starting all processes again from the newest"),
                                HasSubstr("(1 of 2)"))));
  EXPECT_EQ(ReadFile("run-0-3"), ReadFile("run-1-3"));
  EXPECT_NE(ReadFile("run-1-1"), ReadFile("run-1-3"));
}

TEST_F(LaunchRestarts, EndWhenTheyAreUsedUp) {
  Prepare("[ $MILLRACE_PROCESS = 1 ] && { echo x >> ends; exit 1; }; exit 0");
  EXPECT_STREQ(launcher_->Fails().what(), "process 1 of 2 ended with exit code 1");
  EXPECT_EQ(ReadFile("ends"), "x\nx\nx\n");
  EXPECT_EQ(launcher_->said.size(), 2U);
}

TEST_F(LaunchRestarts, UsageErrorsAndInterruptionsAreNotTriedAgain) {
  Prepare("exit 2");
  EXPECT_EQ(launcher_->Fails().exit_code(), ExitCode::kUsage);
  EXPECT_EQ(launcher_->said.size(), 0U);
  std::ofstream("train") << "exit 3";
  EXPECT_EQ(launcher_->Run(), ExitCode::kInterrupted);
  std::ofstream("train") << Interruptible("exit 1");
  EXPECT_EQ(launcher_->Fails().exit_code(), ExitCode::kFailed);
  EXPECT_EQ(launcher_->said.size(), 0U);
}

TEST(ResumeArguments, AddAutoWhereNothingSaysIt) {
  EXPECT_THAT(ResumeArguments({"train", "x"}), ElementsAre("train", "x", "--resume", "auto"));
  EXPECT_THAT(ResumeArguments({"train", "--resume", "auto", "x"}),
              ElementsAre("train", "--resume", "auto", "x"));
  EXPECT_THAT(ResumeArguments({"train", "--resume=auto"}), ElementsAre("train", "--resume=auto"));
}

TEST(Launch, OptionsThatDoNotFitAreRefused) {
  const auto refusal = [](const std::function<void(LaunchOptions&)>& change) {
    Launcher launcher(2, std::vector<std::string>{"train"});
    change(launcher.options);
    return test::UsageErrorOf([&] { launcher.Run(); });
  };
  EXPECT_THAT(refusal([](auto& options) { options.node = 1; }),
              HasSubstr("--node 1: there are 1 machines"));
  EXPECT_THAT(refusal([](auto& options) { options.nodes = 2; }),
              HasSubstr("give --master HOST:PORT"));
  EXPECT_THAT(refusal([](auto& options) { options.master = "a:1"; }), HasSubstr("give --nodes"));
  EXPECT_THAT(refusal([](auto& options) {
                options.restarts = 1;
                options.arguments = {"eval"};
              }),
              HasSubstr("which only `train` writes"));
  for (const std::vector<std::string>& resume :
       {std::vector<std::string>{"--resume", "a.safetensors"}, {"--resume=a.safetensors"}}) {
    EXPECT_THAT(refusal([&](auto& options) {
                  options.restarts = 1;
                  options.arguments.insert(options.arguments.end(), resume.begin(), resume.end());
                }),
                HasSubstr("the one that --resume names"));
  }
}

TEST(Launch, InsideAnotherLauncherIsRefused) {
  ::setenv("RANK", "1", 1);
  ::setenv("WORLD_SIZE", "2", 1);
  ::setenv("MASTER_ADDR", "node1", 1);
  Launcher launcher(2, "echo $RANK $WORLD_SIZE.");
  EXPECT_THAT(test::UsageErrorOf([&] { launcher.Run(); }),
              AllOf(HasSubstr("RANK and WORLD_SIZE has already started 2 processes"),
                    HasSubstr("this is number 1"), HasSubstr("with --nodes")));
  // One launcher a machine is what --nodes is for; what else says RANK would be in contradiction.
  launcher.options.nodes = 2;
  launcher.options.master = "node1:1";
  EXPECT_EQ(launcher.Run(), ExitCode::kDone);
  EXPECT_THAT(launcher.Out(), AnyOf(".\n[1] .\n", "[1] .\n.\n"));
  for (const char* name : {"RANK", "WORLD_SIZE", "MASTER_ADDR"}) ::unsetenv(name);
}

}  // namespace
}  // namespace millrace::pipeline::launch
