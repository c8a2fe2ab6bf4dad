#include "base/shared_rounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <thread>
#include <vector>

#include "base/alive.h"
#include "base/clock.h"
#include "base/mean_in_order.h"
#include "base/shared_memory.h"
#include "tests/support/error_text.h"

namespace millrace {
namespace {

using Lines = std::vector<SharedRounds::Line>;

SharedRounds Member(Lines& lines, std::uint32_t member,
                    std::chrono::milliseconds timeout = std::chrono::minutes(1)) {
  return SharedRounds(
      {.lines = lines, .member = member, .timeout = timeout, .alive = [](std::uint32_t) {
         return true;
       }});
}

// One thread of each member averages its lists with the others', each its share of them. Under
// ThreadSanitizer this shows that nobody touches what others may.
void AverageTogether(std::uint32_t members, std::uint32_t begin_at) {
  constexpr std::size_t kSize = 97;
  constexpr std::uint32_t kAhead = 3;  // rounds posted before the first is finished
  constexpr std::uint32_t kSteps = 200;
  Lines lines(members);
  for (SharedRounds::Line& line : lines) line.posted = line.finished = begin_at;
  std::vector<std::vector<std::vector<float>>> lists(
      kAhead, std::vector<std::vector<float>>(members, std::vector<float>(kSize)));
  std::vector<std::jthread> threads;
  for (std::uint32_t member = 0; member < members; ++member) {
    threads.emplace_back([&, member] {
      SharedRounds rounds = Member(lines, member);
      const auto work = [&](std::uint32_t round) {
        std::vector<float*> parts;
        for (auto& part : lists[(round - begin_at) % kAhead]) parts.push_back(part.data());
        MeanInOrder<float>(parts, kSize * member / members, kSize * (member + 1) / members, 1);
        rounds.Finish();
      };
      for (std::uint32_t step = 0; step < kSteps; ++step) {
        for (std::uint32_t i = 0; i < kAhead; ++i) {
          auto& own = lists[i][member];
          for (std::size_t k = 0; k < kSize; ++k) {
            own[k] = static_cast<float>(step + 10 * i + k % 7 + member);
          }
          rounds.Post();
          while (rounds.finished() != rounds.posted() && rounds.AllPosted(rounds.finished())) {
            work(rounds.finished());
          }
        }
        while (rounds.finished() != rounds.posted()) {
          rounds.AwaitPosted(rounds.finished());
          work(rounds.finished());
        }
        rounds.AwaitFinished(rounds.posted() - 1);
        for (std::uint32_t i = 0; i < kAhead; ++i) {
          for (std::size_t k = 0; k < kSize; ++k) {
            const std::uint32_t sum =
                members * (step + 10 * i + static_cast<std::uint32_t>(k % 7)) +
                members * (members - 1) / 2;
            ASSERT_EQ(lists[i][member][k], static_cast<float>(sum)) << step << " " << i;
          }
        }
      }
    });
  }
}

TEST(SharedRounds, MembersAverageTogether) {
  for (const std::uint32_t members : {1u, 2u, 3u, 4u}) AverageTogether(members, 0);
}

TEST(SharedRounds, CountsWrap) { AverageTogether(2, 0xffffff00u); }

TEST(SharedRounds, MemberThatDoesNotComeInTimeIsNamed) {
  Lines lines(3);
  SharedRounds rounds = Member(lines, 0, std::chrono::milliseconds(300));
  rounds.Post();
  SharedRounds other = Member(lines, 1);
  other.Post();
  EXPECT_FALSE(rounds.AllPosted(0));
  EXPECT_EQ(test::ErrorOf([&] { rounds.AwaitPosted(0); }), "rank 2 has not come within 0.3 s");
}

TEST(SharedRounds, MemberThatLeavesIsNamedButWhatItDidCounts) {
  Lines lines(2);
  SharedRounds rounds = Member(lines, 0);
  rounds.Post();
  rounds.Finish();
  std::jthread leaver([&] {
    SharedRounds other = Member(lines, 1);
    other.Post();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    other.Leave();
  });
  rounds.AwaitPosted(0);
  EXPECT_EQ(test::ErrorOf([&] { rounds.AwaitFinished(0); }), "rank 1 has left");
  EXPECT_EQ(test::ErrorOf([&] { rounds.AwaitPosted(0); }), "");
}

TEST(SharedRounds, WaitEndsWhenAnotherThreadLeaves) {
  Lines lines(2);
  SharedRounds rounds = Member(lines, 0);
  std::jthread closer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    rounds.Leave();
  });
  rounds.Post();
  EXPECT_EQ(test::ErrorOf([&] { rounds.AwaitPosted(0); }), "this rank has left the others");
}

TEST(SharedRounds, MemberWhoseProcessIsKilledIsNamed) {
  const SharedMemory memory = SharedMemory::Create(2 * sizeof(SharedRounds::Line));
  const std::span lines(new (memory.bytes().data()) SharedRounds::Line[2], 2);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const SharedMemory theirs = SharedMemory::Open(memory.address());
    const Alive alive(theirs.path(), 1);
    SharedRounds rounds(
        {.lines = std::span(reinterpret_cast<SharedRounds::Line*>(theirs.bytes().data()), 2),
         .member = 1,
         .alive = [&](std::uint32_t member) { return alive.Has(member); }});
    rounds.Post();
    for (;;) ::pause();
  }
  const Alive alive(memory.path(), 0);
  SharedRounds rounds({.lines = lines, .member = 0, .alive = [&](std::uint32_t member) {
                         return member == 0 || alive.Has(member);
                       }});
  rounds.Post();
  // Until the child has its place nobody asks for it.
  while (!rounds.AllPosted(0)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  rounds.Finish();
  std::jthread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  });
  EXPECT_EQ(test::ErrorOf([&] { rounds.AwaitFinished(0); }), "rank 1 has ended");
}

}  // namespace
}  // namespace millrace
