#include "tracking/environment.h"

#include <cstdlib>

#include "base/error.h"

namespace millrace::tracking {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsTrue(const std::string& value) { return value == "true" || value == "1" || value == "True"; }

std::string ServerAddress(const char* name, const char* server, const char* credentials) {
  std::string uri = Variable(name);
  const std::size_t scheme = uri.find("//");
  const std::size_t host = scheme == std::string::npos ? 0 : scheme + 2;
  if (uri.substr(0, uri.find('/', host)).rfind('@') != std::string::npos) {
    FailUsage("{} holds a user or a password; put them into {}", name, credentials);
  }
  if (!uri.starts_with("http://") && !uri.starts_with("https://")) {
    FailUsage("{} is \"{}\"; it must be the http:// or https:// address of {}", name, uri, server);
  }
  while (uri.ends_with('/')) uri.pop_back();
  return uri;
}

}  // namespace millrace::tracking
