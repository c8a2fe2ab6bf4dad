// Result<T>, a value or the fault of one sample: for what may be expected of data and must not end
// a run by itself.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace millrace {

// Why one sample (file, record, picture) cannot be used; counted, reported, and turned into an
// Error by whoever decides that the run cannot go on.
struct Fault {
  std::string message;
};

template <typename... Args>
Fault MakeFault(fmt::format_string<Args...> format, Args&&... args) {
  return Fault{fmt::format(format, std::forward<Args>(args)...)};
}

// Holds either a T or a Fault.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Fault fault) : state_(std::move(fault)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok()
  T& value() & {
    MILLRACE_CHECK(ok());
    return std::get<T>(state_);
  }
  const T& value() const& {
    MILLRACE_CHECK(ok());
    return std::get<T>(state_);
  }
  T&& value() && {
    MILLRACE_CHECK(ok());
    return std::get<T>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok()
  const Fault& fault() const {
    MILLRACE_CHECK(!ok());
    return std::get<Fault>(state_);
  }

 private:
  std::variant<T, Fault> state_;
};

// For operations that yield nothing but may find a fault.
using Outcome = Result<std::monostate>;
inline Outcome Ok() { return Outcome(std::monostate{}); }

}  // namespace millrace
