// The one exception of millrace: what ends a run, with the exit code that the program answers with.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

// The program's exit codes. An Error carries kFailed or kUsage; the other two are results, not
// errors.
enum class ExitCode : int {
  kDone = 0,
  kFailed = 1,       // something broke: data, disk, memory, device
  kUsage = 2,        // the command line or the recipe is wrong; nothing was touched
  kInterrupted = 3,  // stopped by a signal, with a checkpoint written
};

// Thrown for whatever ends a run. The text names the file, key, record or rank and says what to do.
// A fault of one sample is not an Error: see Result.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode exit_code = ExitCode::kFailed)
      : std::runtime_error(message), exit_code_(exit_code) {}

  ExitCode exit_code() const { return exit_code_; }

  // The same error with "context: " in front, for adding position on the way up.
  Error Within(std::string_view context) const {
    return Error(fmt::format("{}: {}", context, what()), exit_code_);
  }

 private:
  ExitCode exit_code_;
};

// Throws an Error with a formatted text (exit code 1).
template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws an Error that blames the command line or the recipe (exit code 2).
template <typename... Args>
[[noreturn]] void FailUsage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), ExitCode::kUsage);
}

}  // namespace millrace
