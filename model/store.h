// Where the ranks of one run find each other and leave each other words: names with values, in this
// process, in a file or at a TCP port.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace millrace::model {

// A handle: copies share the store. Any thread; over TCP a call waits for those of other threads on
// the same connection: Clone() gives another one. Methods throw Error when the store cannot be
// reached.
class Store {
 public:
  // Among threads of this process.
  static Store InProcess();
  // Among processes of one machine, in a file that all of them open and nobody else uses.
  static Store InFile(const std::filesystem::path& path);
  // Among machines. `serves`: this process listens on the port, and does so until the last copy of
  // this store has gone; all others connect. Throws Error when that takes longer than `timeout`.
  static Store OverTcp(const std::string& host, std::uint16_t port, bool serves,
                       std::chrono::milliseconds timeout);

  // The same store with a prefix before all names.
  Store Within(const std::string& prefix) const;
  Store Clone() const;

  void Set(const std::string& name, const std::string& value) const;
  // Sets it unless somebody else has; returns what it is now. REQUIRES: value is not empty
  std::string SetOnce(const std::string& name, const std::string& value) const;
  // Adds to a whole number that begins with 0; returns the sum.
  std::int64_t Add(const std::string& name, std::int64_t value) const;
  // What it is; none: nobody has set it.
  std::optional<std::string> Find(const std::string& name) const;
  // The same, once somebody has set it; none: nobody did in that time.
  std::optional<std::string> Wait(const std::string& name, std::chrono::milliseconds timeout) const;

  struct Impl;  // c10d_types.h
  const Impl& impl() const { return *impl_; }

 private:
  explicit Store(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

}  // namespace millrace::model
