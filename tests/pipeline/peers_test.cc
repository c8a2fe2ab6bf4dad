#include "pipeline/peers.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::pipeline {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::StartsWith;

// A port that was free a moment ago.
std::uint16_t FreePort() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  ::sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  ::socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(descriptor, reinterpret_cast<::sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(descriptor, reinterpret_cast<::sockaddr*>(&address), &size), 0);
  ::close(descriptor);
  return ::ntohs(address.sin_port);
}

// Processes of one run, played by threads; in a file and, as between machines, at a port.
class PeersTest : public testing::TestWithParam<bool> {
 protected:
  // What each process throws, in so many runs one after another.
  std::vector<std::string> Run(std::uint32_t count,
                               const std::function<void(Peers&, std::uint32_t)>& work,
                               int runs = 1) {
    std::vector<std::string> errors(count);
    const std::uint16_t port = FreePort();
    std::vector<std::jthread> threads;
    for (std::uint32_t process = 0; process < count; ++process) {
      threads.emplace_back([&, process] {
        Placement placement;
        placement.process = process;
        placement.num_processes = count;
        placement.run_id = "test";
        if (GetParam()) {
          placement.master_address = "127.0.0.1";
          placement.master_port = port;
        } else {
          placement.local_process = process;
          placement.num_local_processes = count;
          placement.store_file = folder_ / "store";
        }
        errors[process] = test::ErrorOf([&] {
          std::optional<model::Store> store;
          if (runs > 1) store = OpenStore(placement);
          for (int run = 0; run < runs; ++run) {
            placement.run_id = "test/" + std::to_string(run);
            Peers peers(placement, /*lanes=*/2, /*interrupt=*/nullptr, store ? &*store : nullptr);
            peers.Together([&] { work(peers, process); });
          }
        });
      });
    }
    threads.clear();
    return errors;
  }

  const test::TemporaryFolder folder_;
};

// Whoever is done with a run is in the next one before others have left the first.
TEST_P(PeersTest, GoThroughSeveralRunsWithOneStore) {
  std::array<std::atomic<int>, 3> seen = {};
  const auto errors = Run(
      3,
      [&](Peers& peers, std::uint32_t process) {
        const int run = seen[process]++;
        EXPECT_EQ(peers.FromFirst("run", std::to_string(run)), std::to_string(run));
        if (process == 2) std::this_thread::sleep_for(std::chrono::milliseconds(300));
        EXPECT_FALSE(peers.EndedByFirst(/*waits=*/false)) << "the end of the run before";
        peers.Meet("looked");
        if (process == 0) peers.TellEnd(ExitCode::kDone);
      },
      /*runs=*/3);
  EXPECT_THAT(errors, testing::Each(""));
  for (const auto& runs : seen) EXPECT_EQ(runs, 3);
}

TEST_P(PeersTest, HearTheFirstAndMakeOneWorld) {
  const auto errors = Run(3, [](Peers& peers, std::uint32_t process) {
    EXPECT_EQ(peers.FromFirst("checkpoint", "of " + std::to_string(process)), "of 0");
    EXPECT_EQ(peers.FromFirst("nothing", ""), "");
    EXPECT_THAT(peers.FromEach("name", process == 1 ? "" : "of " + std::to_string(process)),
                testing::ElementsAre("of 0", "", "of 2"));
    peers.RequireSame("number of devices", "2");
    const World world = peers.MakeWorld(std::chrono::seconds(5));
    EXPECT_EQ(world.world_size, 6u);
    EXPECT_EQ(world.first_rank, 2 * process);
    EXPECT_FALSE(peers.EndedByFirst(/*waits=*/false));
  });
  EXPECT_THAT(errors, testing::Each(""));
}

// Whoever looks around while others join finds nobody lost.
TEST_P(PeersTest, JoiningWhileOthersLookAroundIsNoLoss) {
  const auto errors = Run(12, [](Peers& peers, std::uint32_t process) {
    peers.Meet("looked");
    if (process == 0) Fail("ours");
    peers.Meet("later");
  });
  EXPECT_THAT(errors, testing::Each(EndsWith("): ours")));
}

TEST_P(PeersTest, WhoDiffersIsNamedToAll) {
  const auto errors = Run(3, [](Peers& peers, std::uint32_t process) {
    peers.RequireSame("number of devices", process == 1 ? "4" : "2");
  });
  EXPECT_THAT(errors,
              testing::Each(AllOf(StartsWith("process 1 (ranks 2 to 3, on "),
                                  EndsWith("): process 1 has another number of devices than "
                                           "process 0: 4 instead of 2"))));
}

TEST_P(PeersTest, FirstFailureIsThatOfAllThoughRanksAreLostBecauseOfIt) {
  const auto errors = Run(3, [](Peers& peers, std::uint32_t process) {
    if (process == 2) FailUsage("ours");
    if (process == 1) throw model::LostRank("another rank is out of reach");
    peers.Meet("later");
  });
  EXPECT_THAT(errors, testing::Each(
                          AllOf(StartsWith("process 2 (ranks 4 to 5, on "), EndsWith("): ours"))));
}

TEST_P(PeersTest, EndOfTheFirstIsHeardInsteadOfALostRank) {
  const auto errors = Run(2, [](Peers& peers, std::uint32_t process) {
    if (process == 0) {
      peers.TellEnd(ExitCode::kInterrupted);
    } else {
      EXPECT_EQ(peers.EndedByFirst(/*waits=*/true), ExitCode::kInterrupted);
    }
    peers.Meet("ended");
  });
  EXPECT_THAT(errors, testing::Each(""));
}

INSTANTIATE_TEST_SUITE_P(Stores, PeersTest, testing::Values(false, true),
                         [](const auto& store) { return store.param ? "AtAPort" : "InAFile"; });

TEST(Peers, SingleProcessHasNobodyToWaitFor) {
  Peers peers(Placement{}, 2, nullptr);
  EXPECT_EQ(test::ErrorOf([&] {
              peers.Together([&] {
                peers.Meet("anywhere");
                EXPECT_EQ(peers.FromFirst("a", "b"), "b");
                Fail("ours");
              });
            }),
            "ours");
}

}  // namespace
}  // namespace millrace::pipeline
