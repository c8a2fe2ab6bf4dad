#include "model/store.h"

#include <fcntl.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/error.h"
#include "model/c10d_types.h"

namespace millrace::model {
namespace {

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// Calls `body`; what c10d throws there is thrown on as an Error.
template <typename Body>
auto OnStore(Body&& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    Fail("the store through which ranks find each other cannot be reached: {}",
         FirstLine(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    Fail("the store through which ranks find each other cannot be reached: {}",
         FirstLine(error.what()));
  }
}

}  // namespace

Store Store::InProcess() {
  return Store(std::make_shared<const Impl>(Impl{c10::make_intrusive<c10d::HashStore>()}));
}

Store Store::InFile(const std::filesystem::path& path) {
  // Whoever made the file removes it.
  constexpr int kNobodyRemovesIt = -1;
  // c10d would try for minutes.
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    Fail("the store of the ranks cannot be opened: {}: {}", path.string(), std::strerror(errno));
  }
  ::close(descriptor);
  return OnStore([&] {
    return Store(std::make_shared<const Impl>(
        Impl{c10::make_intrusive<c10d::FileStore>(path.string(), kNobodyRemovesIt)}));
  });
}

Store Store::OverTcp(const std::string& host, std::uint16_t port, bool serves,
                     std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = timeout;
  return OnStore([&] {
    return Store(
        std::make_shared<const Impl>(Impl{c10::make_intrusive<c10d::TCPStore>(host, options)}));
  });
}

Store Store::Within(const std::string& prefix) const {
  return Store(std::make_shared<const Impl>(
      Impl{c10::make_intrusive<c10d::PrefixStore>(prefix, impl_->store)}));
}

Store Store::Clone() const {
  return OnStore([&] { return Store(std::make_shared<const Impl>(Impl{impl_->store->clone()})); });
}

void Store::Set(const std::string& name, const std::string& value) const {
  OnStore([&] { impl_->store->set(name, value); });
}

std::string Store::SetOnce(const std::string& name, const std::string& value) const {
  return OnStore([&] { return impl_->store->compareSet(name, std::string(), value); });
}

std::int64_t Store::Add(const std::string& name, std::int64_t value) const {
  return OnStore([&] { return impl_->store->add(name, value); });
}

std::optional<std::string> Store::Find(const std::string& name) const {
  return OnStore([&]() -> std::optional<std::string> {
    if (!impl_->store->check({name})) return std::nullopt;
    return impl_->store->get_to_str(name);
  });
}

std::optional<std::string> Store::Wait(const std::string& name,
                                       std::chrono::milliseconds timeout) const {
  // c10d's own wait would write warnings to standard error whenever a time is up over TCP.
  constexpr std::chrono::milliseconds kLongestPause(50);
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (std::chrono::milliseconds pause(1);; pause = std::min(2 * pause, kLongestPause)) {
    if (auto value = Find(name)) return value;
    if (std::chrono::steady_clock::now() >= end) return std::nullopt;
    std::this_thread::sleep_until(std::min(std::chrono::steady_clock::now() + pause, end));
  }
}

}  // namespace millrace::model
