// Lets the members of a group, threads of any processes of one machine, wait for each other through
// memory that they share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/error.h"

namespace millrace {

// Another member has left, has ended or does not come in time.
class LostMember : public Error {
 public:
  using Error::Error;
};

// Work goes in rounds, numbered from 0 and taken in order. In each, a member posts its part; once
// all have, it works on what all posted and finishes; once all have, the round is over and every
// member's part is its own again. A member may post several rounds before it finishes the first.
//
// What a member wrote before it posted (finished) is seen by whoever has seen that all did. Nobody
// spins: who waits sleeps, and looks 20 times a second whether those it waits for still live.
//
// One object for each member, used by one thread; but Leave() is for any thread.
class SharedRounds {
 public:
  // A member's line in the shared memory; zeros before the first round.
  struct alignas(64) Line {
    std::atomic<std::uint32_t> posted;    // rounds
    std::atomic<std::uint32_t> finished;  // rounds
    std::atomic<std::uint32_t> left;      // 1: it has
  };
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

  struct Options {
    std::span<Line> lines;  // shared; one for each member, outlives the object
    std::uint32_t member = 0;
    std::chrono::milliseconds timeout = std::chrono::minutes(10);  // of each wait
    // Whether the process of another member still runs.
    std::function<bool(std::uint32_t)> alive;
  };
  explicit SharedRounds(Options options) : options_(std::move(options)) {}

  void Post();
  void Finish();
  // The rounds that this member has posted; finished.
  std::uint32_t posted() const;
  std::uint32_t finished() const;

  // Whether all have posted `round`.
  bool AllPosted(std::uint32_t round) const;
  // Return when all have. Throw LostMember "rank 2 has left", naming the member.
  void AwaitPosted(std::uint32_t round) const { Await(&Line::posted, round); }
  void AwaitFinished(std::uint32_t round) const { Await(&Line::finished, round); }

  // From then on nobody waits for this member, nor it for others. Whoever does hears of it within a
  // moment.
  void Leave() noexcept;

 private:
  using Count = std::atomic<std::uint32_t> Line::*;

  Line& own() const { return options_.lines[options_.member]; }
  void Advance(Count count);
  void Await(Count count, std::uint32_t round) const;
  void AwaitMember(std::uint32_t member, Count count, std::uint32_t round) const;

  const Options options_;
};

}  // namespace millrace
