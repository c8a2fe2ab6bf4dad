#include "base/shared_rounds.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>
#include <utility>

#include "base/clock.h"

namespace millrace {
namespace {

constexpr auto kLook = std::chrono::milliseconds(50);

// std::atomic::wait serves one process and knows no timeout.
static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void SleepWhile(const std::atomic<std::uint32_t>& word, std::uint32_t value) {
  constexpr auto kNs = std::chrono::nanoseconds(kLook).count();
  const ::timespec limit{.tv_sec = 0, .tv_nsec = kNs};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
}

void WakeAll(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Whether a count has gone beyond `round`; counts wrap.
bool Beyond(std::uint32_t count, std::uint32_t round) {
  return static_cast<std::int32_t>(count - round) > 0;
}

}  // namespace

void SharedRounds::Post() { Advance(&Line::posted); }

void SharedRounds::Finish() { Advance(&Line::finished); }

std::uint32_t SharedRounds::posted() const { return own().posted.load(std::memory_order_relaxed); }

std::uint32_t SharedRounds::finished() const {
  return own().finished.load(std::memory_order_relaxed);
}

void SharedRounds::Advance(Count count) {
  (own().*count).fetch_add(1, std::memory_order_release);
  WakeAll(own().*count);
}

bool SharedRounds::AllPosted(std::uint32_t round) const {
  for (const Line& line : options_.lines) {
    if (!Beyond(line.posted.load(std::memory_order_acquire), round)) return false;
  }
  return true;
}

void SharedRounds::Await(Count count, std::uint32_t round) const {
  for (std::uint32_t member = 0; member < options_.lines.size(); ++member) {
    AwaitMember(member, count, round);
  }
}

void SharedRounds::AwaitMember(std::uint32_t member, Count count, std::uint32_t round) const {
  const Line& line = options_.lines[member];
  const std::int64_t begin_ns = NowNs();
  std::int64_t looked_ns = begin_ns;
  for (;;) {
    // In this order: who has left may have come before.
    const bool left = line.left.load(std::memory_order_acquire) != 0;
    const std::uint32_t value = (line.*count).load(std::memory_order_acquire);
    if (Beyond(value, round)) return;
    if (own().left.load(std::memory_order_relaxed) != 0) {
      throw LostMember("this rank has left the others");
    }
    if (left) throw LostMember(fmt::format("rank {} has left", member));
    const std::int64_t now_ns = NowNs();
    if (now_ns - begin_ns > std::chrono::nanoseconds(options_.timeout).count()) {
      throw LostMember(fmt::format("rank {} has not come within {} s", member,
                                   static_cast<double>(options_.timeout.count()) / 1000));
    }
    if (now_ns - looked_ns > std::chrono::nanoseconds(kLook).count() / 2) {
      looked_ns = now_ns;
      // It may have come just before it ended.
      if (!options_.alive(member) && !Beyond((line.*count).load(), round)) {
        throw LostMember(fmt::format("rank {} has ended", member));
      }
    }
    SleepWhile(line.*count, value);
  }
}

void SharedRounds::Leave() noexcept {
  own().left.store(1, std::memory_order_release);
  WakeAll(own().posted);
  WakeAll(own().finished);
}

}  // namespace millrace
