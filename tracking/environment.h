// What the settings of trackers are read from: the environment.
#pragma once

#include <string>

namespace millrace::tracking {

// Empty when it is not set.
std::string Variable(const char* name);

// "true", "True" or "1".
bool IsTrue(const std::string& value);

// The http:// or https:// address in the variable, without final slashes. Throws Error (exit code
// 2) when it is none ("the address of `server`"), or holds credentials, which would be shown with
// it: they belong into `credentials`.
std::string ServerAddress(const char* name, const char* server, const char* credentials);

}  // namespace millrace::tracking
