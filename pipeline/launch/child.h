// One started process: its output as pipes to read from, its end, and that it does not outlive us.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace millrace::pipeline::launch {

// A file descriptor of our own; -1: none.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() { Close(); }
  Descriptor(Descriptor&& other) noexcept : number_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;

  int number() const { return number_; }
  void Close();
  int Release();

 private:
  int number_;
};

struct ChildOptions {
  std::filesystem::path program;
  std::vector<std::string> arguments;    // without the program's name
  std::vector<std::string> environment;  // "NAME=value"
  // Where these streams go as they are; -1: into a pipe that we read.
  int out = -1;
  int err = -1;
};

// Started in a session of its own, so that a Ctrl-C reaches us alone; its standard input is empty,
// and no signal is blocked in it. The system kills it when the thread that started it ends, however
// that comes about. Whoever starts it reaps it.
class Child {
 public:
  // Throws Error when there are no more processes or descriptors. A program that cannot be run ends
  // with exit code 1 and says so.
  explicit Child(const ChildOptions& options);

  pid_t pid() const { return pid_; }
  // The reading ends, which never block; numbers of -1 where the stream goes elsewhere.
  Descriptor& out() { return out_; }
  Descriptor& err() { return err_; }

 private:
  pid_t pid_ = -1;
  Descriptor out_;
  Descriptor err_;
};

}  // namespace millrace::pipeline::launch
