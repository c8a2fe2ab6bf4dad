#include "pipeline/launch/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace millrace::pipeline::launch {
namespace {

struct Pipe {
  Descriptor read;
  Descriptor write;
};

Pipe MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    Fail("cannot start a process: no pipe for its output: {}", std::strerror(errno));
  }
  Pipe made{Descriptor(ends[0]), Descriptor(ends[1])};
  ::fcntl(made.read.number(), F_SETFL, O_NONBLOCK);
  return made;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What the new process does until it is the program.
[[noreturn]] void Become(const char* program, char** arguments, char** environment, pid_t parent,
                         int in, int out, int err) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it ended before the line above
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execve(program, arguments, environment);
  const char* reason = std::strerror(errno);
  for (const char* text : {"millrace: cannot start ", program, ": ", reason, "\n"}) {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
  }
  ::_exit(1);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    Close();
    number_ = other.Release();
  }
  return *this;
}

void Descriptor::Close() {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

int Descriptor::Release() { return std::exchange(number_, -1); }

Child::Child(const ChildOptions& options) {
  std::vector<std::string> words = {options.program.string()};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> variables = options.environment;
  const std::vector<char*> arguments = Pointers(words);
  const std::vector<char*> environment = Pointers(variables);
  const Descriptor nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Pipe out;
  Pipe err;
  if (options.out < 0) out = MakePipe();
  if (options.err < 0) err = MakePipe();
  const int out_end = options.out < 0 ? out.write.number() : options.out;
  const int err_end = options.err < 0 ? err.write.number() : options.err;
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) Fail("cannot start a process: {}", std::strerror(errno));
  if (pid_ == 0) {
    Become(options.program.c_str(), const_cast<char**>(arguments.data()),
           const_cast<char**>(environment.data()), parent, nothing.number(), out_end, err_end);
  }
  out_ = std::move(out.read);
  err_ = std::move(err.read);
}

}  // namespace millrace::pipeline::launch
