// What an action throws, for assertions about the texts of errors.
#pragma once

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace millrace::test {

// The text of the Error that `action` throws; "" when it throws none.
template <typename Action>
std::string ErrorOf(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// The same for an Error that must blame the command line or the recipe.
template <typename Action>
std::string UsageErrorOf(Action action) {
  try {
    action();
  } catch (const Error& error) {
    if (error.exit_code() == ExitCode::kUsage) return error.what();
    return fmt::format("exit code {} instead of 2: {}", static_cast<int>(error.exit_code()),
                       error.what());
  }
  return "";
}

}  // namespace millrace::test
