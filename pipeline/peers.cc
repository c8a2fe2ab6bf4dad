#include "pipeline/peers.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/format.h"
#include "base/process.h"

namespace millrace::pipeline {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(200);
// Programs that load data sets of different sizes, or compile kernels, come minutes apart.
constexpr auto kJoin = std::chrono::minutes(10);
constexpr auto kConnect = std::chrono::minutes(5);
// Between machines, where only silence tells of a process that has ended.
constexpr std::int64_t kBeatNs = 1'000'000'000;
constexpr std::int64_t kSilenceNs = 6'000'000'000;
// Whoever loses a rank hears within this time why.
constexpr auto kExplain = std::chrono::seconds(8);
// Who serves the store stays so long for those who still read.
constexpr auto kLinger = std::chrono::seconds(5);

// The address of this machine on the way to `host`; "" when it is not known.
std::string AddressTowards(const std::string& host, std::uint16_t port) {
  ::addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  ::addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return "";
  std::string address;
  for (const ::addrinfo* at = found; at != nullptr && address.empty(); at = at->ai_next) {
    const int descriptor = ::socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) continue;
    ::sockaddr_storage own{};
    ::socklen_t size = sizeof(own);
    char text[NI_MAXHOST] = "";
    // Sends nothing: the system only chooses the way.
    if (::connect(descriptor, at->ai_addr, at->ai_addrlen) == 0 &&
        ::getsockname(descriptor, reinterpret_cast<::sockaddr*>(&own), &size) == 0 &&
        ::getnameinfo(reinterpret_cast<::sockaddr*>(&own), size, text, sizeof(text), nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      address = text;
    }
    ::close(descriptor);
  }
  ::freeaddrinfo(found);
  // A machine's own name may mean its loopback, at which no other machine reaches it.
  return address.starts_with("127.") || address == "::1" ? "" : address;
}

std::string Key(const char* name, std::uint32_t number) {
  return fmt::format("{}/{}", name, number);
}

// Where a lane waits, in words that are equal where lanes wait for each other.
std::string Place(const Waiting& waiting) {
  return fmt::format("{} of step {}", waiting.what, waiting.step + 1);
}

}  // namespace

model::Store OpenStore(const Placement& placement) {
  if (placement.num_processes == 1) return model::Store::InProcess();
  if (!placement.store_file.empty()) return model::Store::InFile(placement.store_file);
  return model::Store::OverTcp(placement.master_address, placement.master_port,
                               placement.process == 0 && !placement.master_is_agent, kConnect);
}

Peers::Peers(const Placement& placement, std::uint32_t lanes, const std::atomic<bool>* interrupt,
             const model::Store* store)
    : placement_(placement),
      lanes_(lanes),
      asked_(interrupt),
      store_((store != nullptr ? *store : OpenStore(placement))
                 .Within("millrace/" + placement.run_id)) {
  if (alone()) return;
  if (!placement_.store_file.empty()) {
    alive_ = std::make_unique<Alive>(placement_.store_file, placement_.process);
  }
  beats_.resize(count());
  store_.Set(Key("host", placement_.process), HostName());
  store_.Set(Key("joined", placement_.process), "1");
  watch_ = std::jthread([this](const std::stop_token& over) { KeepWatch(over); });
}

Peers::~Peers() = default;

void Peers::Together(const std::function<void()>& body) {
  if (alone()) return body();
  try {
    Meet("joined");
    body();
  } catch (...) {
    ThrowFirst(std::current_exception());
  }
  Leave();
}

void Peers::Meet(const std::string& name) {
  if (alone()) return;
  store_.Set(Key(name.c_str(), placement_.process), "1");
  const std::int64_t begin_ns = NowNs();
  for (std::uint32_t process = 0; process < count(); ++process) {
    while (!store_.Wait(Key(name.c_str(), process), kPoll)) {
      if (auto failure = Failure(store_)) throw std::move(*failure);
      if (NowNs() - begin_ns > std::chrono::nanoseconds(kJoin).count()) {
        Fail(
            "process {} of {} has not come within {} minutes ({}); is it running, with the same "
            "run id and the same store?",
            process, count(), kJoin.count(), name);
      }
    }
  }
}

std::string Peers::FromFirst(const std::string& name, const std::string& value) {
  if (alone()) return value;
  // Some stores know no empty values.
  if (first()) store_.Set("first/" + name, "=" + value);
  Meet("first " + name);
  return store_.Find("first/" + name).value_or("=").substr(1);
}

std::vector<std::string> Peers::FromEach(const std::string& name, const std::string& value) {
  if (alone()) return {value};
  const std::string key = "each " + name;
  store_.Set(Key(key.c_str(), placement_.process), "=" + value);
  Meet("told " + name);
  std::vector<std::string> values;
  for (std::uint32_t process = 0; process < count(); ++process) {
    values.push_back(store_.Find(Key(key.c_str(), process)).value_or("=").substr(1));
  }
  return values;
}

void Peers::RequireSame(const std::string& what, const std::string& value) {
  if (alone()) return;
  const std::string wanted = FromFirst(what, value);
  if (value != wanted) {
    Fail("process {} has another {} than process 0: {} instead of {}", placement_.process, what,
         value, wanted);
  }
  Meet("same " + what);
}

World Peers::MakeWorld(std::chrono::milliseconds timeout) const {
  const bool one_machine = placement_.num_local_processes == placement_.num_processes;
  return {.store = store_,
          .first_rank = placement_.process * lanes_,
          .world_size = placement_.num_processes * lanes_,
          .address = one_machine
                         ? "127.0.0.1"
                         : AddressTowards(placement_.master_address, placement_.master_port),
          // The watch tells who is missing before calls give up.
          .timeout = timeout + kExplain};
}

Peers::Watched Peers::Watch(Stop& stop, const LaneGroups& groups,
                            std::chrono::milliseconds timeout) {
  const std::lock_guard lock(watched_mutex_);
  watched_ = {.stop = &stop, .groups = &groups, .timeout = timeout};
  return Watched(*this);
}

void Peers::Unwatch() {
  const std::lock_guard lock(watched_mutex_);
  watched_ = {};
}

void Peers::KeepWatch(const std::stop_token& over) {
  std::optional<model::Store> store;
  while (!over.stop_requested()) {
    try {
      if (!store) store = store_.Clone();
      LookAround(*store);
    } catch (const Error& error) {
      // Who serves the store has ended, or is ending.
      const std::lock_guard lock(watched_mutex_);
      if (watched_.stop != nullptr) {
        watched_.stop->Fail(std::make_exception_ptr(
            Error(fmt::format("process 0 has ended or cannot be reached ({})", error.what()))));
      }
      return;
    }
    // An interruption is to be heard at the next step.
    constexpr auto kShort = std::chrono::milliseconds(10);
    for (auto waited = kShort; waited < kPoll && !over.stop_requested(); waited += kShort) {
      std::this_thread::sleep_for(kShort);
      if (asked_ != nullptr && asked_->load(std::memory_order_relaxed)) interrupted_ = true;
    }
  }
}

void Peers::LookAround(const model::Store& store) {
  const std::int64_t now_ns = NowNs();
  if (asked_ != nullptr && asked_->load(std::memory_order_relaxed)) interrupted_ = true;
  if (!alive_ && now_ns - beat_ns_ > kBeatNs) {
    beat_ns_ = now_ns;
    store.Set(Key("beat", placement_.process), std::to_string(now_ns));
  }
  if (interrupted_ && !std::exchange(told_interrupt_, true)) store.Set("interrupt", "1");
  if (first() && !interrupted_ && store.Find("interrupt")) interrupted_ = true;

  if (const auto lost = FindLost(store)) Post(store, *lost, ExitCode::kFailed);
  const std::lock_guard lock(watched_mutex_);
  if (watched_.stop == nullptr) return;
  if (!watched_.stop->stopped()) {
    if (const auto stalled = FindStalled(store, watched_)) {
      Post(store, *stalled, ExitCode::kFailed);
    }
  }
  if (auto failure = Failure(store)) {
    watched_.stop->Fail(std::make_exception_ptr(std::move(*failure)));
  } else if (!first() && store.Find("end")) {
    watched_.stop->Request();
  }
}

std::string Peers::Name(std::uint32_t process) {
  const std::uint32_t rank = process * lanes_;
  const std::string ranks = lanes_ == 1 ? fmt::format("rank {}", rank)
                                        : fmt::format("ranks {} to {}", rank, rank + lanes_ - 1);
  return fmt::format("process {} ({}, on {})", process, ranks,
                     store_.Find(Key("host", process)).value_or("an unknown machine"));
}

std::optional<std::string> Peers::FindLost(const model::Store& store) {
  const std::int64_t now_ns = NowNs();
  for (std::uint32_t process = 0; process < count(); ++process) {
    if (process == placement_.process) continue;
    std::string how;
    if (alive_) {
      // Whoever has joined holds its place before it says so: asked in this order, one that joins
      // just now is not taken for lost.
      if (!store.Find(Key("joined", process)) || alive_->Has(process)) continue;
      how = "has ended without a word: it was killed, or it crashed";
    } else {
      // Process 0 looks after all, all look after process 0.
      if (!first() && process != 0) continue;
      const auto value = store.Find(Key("beat", process));
      if (!value) continue;
      Beat& beat = beats_[process];
      if (*value != beat.value) beat = {.value = *value, .seen_ns = now_ns};
      if (now_ns - beat.seen_ns < kSilenceNs) continue;
      how = fmt::format(
          "has given no sign of life for {} s: it was killed, or it or its machine "
          "does not answer",
          (now_ns - beat.seen_ns) / 1'000'000'000);
    }
    if (store.Find(Key("left", process)) || store.Find("failure")) continue;
    store.Set(Key("left", process), "1");  // Leave() does not wait for it
    return fmt::format("{} {}", Name(process), how);
  }
  return std::nullopt;
}

std::optional<std::string> Peers::FindStalled(const model::Store& store, const WatchedRun& run) {
  const std::int64_t now_ns = NowNs();
  const auto limit_ns = std::chrono::nanoseconds(run.timeout).count();
  const LaneGroups& groups = *run.groups;
  std::optional<std::string> stalled;
  for (std::size_t lane = 0; lane < groups.size(); ++lane) {
    const Waiting waiting = groups.of(lane).waiting();
    if (waiting.since_ns == 0 || now_ns - waiting.since_ns < limit_ns / 2) continue;
    // Whoever waits says so before anybody's time is up.
    store.Set(Key("waits", groups.of(lane).rank()), Place(waiting));
    if (now_ns - waiting.since_ns < limit_ns) continue;
    std::vector<std::string> missing;
    for (std::uint32_t rank = 0; rank < groups.of(lane).world_size(); ++rank) {
      if (store.Find(Key("waits", rank)) != Place(waiting)) {
        missing.push_back(fmt::format("rank {} of {}", rank, Name(rank / lanes_)));
      }
    }
    if (missing.empty()) missing.push_back("no rank, but the network between them");
    stalled = fmt::format("{} has not come to {} within {} s, for which the others wait",
                          missing[0], Place(waiting), limit_ns / 1'000'000'000);
  }
  return stalled;
}

void Peers::Post(const model::Store& store, const std::string& text, ExitCode code) {
  store.SetOnce("failure", fmt::format("{} {}", static_cast<int>(code), text));
}

std::optional<Error> Peers::Failure(const model::Store& store) const {
  const auto posted = store.Find("failure");
  if (!posted) return std::nullopt;
  const auto code = posted->starts_with("2") ? ExitCode::kUsage : ExitCode::kFailed;
  return Error(posted->substr(2), code);
}

void Peers::ThrowFirst(const std::exception_ptr& own) {
  std::string text = "an unknown failure";
  ExitCode code = ExitCode::kFailed;
  bool consequence = false;
  try {
    std::rethrow_exception(own);
  } catch (const Error& error) {
    text = error.what();
    code = error.exit_code();
    consequence = dynamic_cast<const model::LostRank*>(&error) != nullptr;
  } catch (const std::exception& error) {
    text = error.what();
  }
  std::optional<Error> failure;
  try {
    const std::int64_t begin_ns = NowNs();
    // Whose connections end first is not who failed first.
    while (consequence && !(failure = Failure(store_)) &&
           NowNs() - begin_ns < std::chrono::nanoseconds(kExplain).count()) {
      std::this_thread::sleep_for(kPoll);
    }
    if (!failure) {
      Post(store_, fmt::format("{}: {}", Name(placement_.process), text), code);
      failure = Failure(store_);
    }
  } catch (const Error&) {
    // The store went with the process that served it.
  }
  Leave();
  if (failure) throw std::move(*failure);
  std::rethrow_exception(own);
}

void Peers::TellEnd(ExitCode how) {
  if (!alone()) store_.Set("end", std::to_string(static_cast<int>(how)));
}

std::optional<ExitCode> Peers::EndedByFirst(bool waits) {
  if (alone() || first()) return {};
  const std::int64_t begin_ns = NowNs();
  while (NowNs() - begin_ns < std::chrono::nanoseconds(kExplain).count()) {
    if (const auto how = store_.Find("end")) {
      return *how == "0" ? ExitCode::kDone : ExitCode::kInterrupted;
    }
    if (!waits || Failure(store_)) return {};
    std::this_thread::sleep_for(kPoll);
  }
  return {};
}

void Peers::Leave() noexcept {
  try {
    store_.Set(Key("left", placement_.process), "1");
    const bool serves = placement_.store_file.empty() && first();
    const std::int64_t begin_ns = NowNs();
    for (std::uint32_t process = 1; serves && process < count(); ++process) {
      while (!store_.Wait(Key("left", process), kPoll) &&
             NowNs() - begin_ns < std::chrono::nanoseconds(kLinger).count()) {
      }
    }
  } catch (const std::exception&) {
    // Then there is nobody to tell.
  }
}

}  // namespace millrace::pipeline
