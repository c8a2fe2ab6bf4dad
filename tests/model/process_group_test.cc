#include "model/process_group.h"

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/model/ranks.h"
#include "tests/support/error_text.h"

namespace millrace::model {
namespace {

using testing::HasSubstr;

TEST(ProcessGroup, GathersNumbersByRankWhateverTheTiming) {
  for (const std::uint32_t ranks : {1u, 2u, 3u, 5u}) {
    InGroup(ranks, [&](ProcessGroup& group) {
      for (std::int64_t round = 0; round < 50; ++round) {
        if (round % ranks == group.rank())
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const std::int64_t mine = 1000 * round + group.rank();
        const auto all = group.AllGather(std::vector<std::int64_t>{mine, -mine, 1LL << 62});
        ASSERT_EQ(all.size(), ranks);
        for (std::int64_t rank = 0; rank < ranks; ++rank) {
          const std::int64_t theirs = 1000 * round + rank;
          EXPECT_THAT(all[static_cast<std::size_t>(rank)],
                      testing::ElementsAre(theirs, -theirs, 1LL << 62));
        }
      }
    });
  }
}

TEST(ProcessGroup, GathersTensorsByRank) {
  for (const std::uint32_t ranks : {1u, 3u}) {
    InGroup(ranks, [&](ProcessGroup& group) {
      // Not contiguous.
      const at::Tensor mine = (at::arange(6, at::kDouble).view({3, 2}) + group.rank()).t();
      const at::Tensor all = group.AllGather(mine);
      ASSERT_EQ(all.size(0), ranks);
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        EXPECT_TRUE(at::equal(all[rank], mine - group.rank() + rank)) << rank;
      }
    });
  }
}

TEST(ProcessGroup, GroupsOfOneProcessBeginAtOnceAgainAndAgain) {
  constexpr std::uint32_t kRanks = 4;
  for (int round = 0; round < 25; ++round) {
    InGroup(kRanks, [&](ProcessGroup& group) {
      const auto all = group.AllGather(std::vector<std::int64_t>{group.rank()});
      ASSERT_EQ(all.size(), kRanks);
      EXPECT_THAT(all.back(), testing::ElementsAre(kRanks - 1));
    });
  }
}

TEST(ProcessGroup, SharesTheFirstRanksTensors) {
  InGroup(3, [](ProcessGroup& group) {
    const at::Tensor floats = at::full({7}, 0.1 + group.rank());
    const at::Tensor count = at::full({}, (std::int64_t{1} << 60) + group.rank(), at::kLong);
    group.ShareFirst({floats, count});
    EXPECT_TRUE(at::equal(floats, at::full({7}, 0.1)));
    EXPECT_EQ(count.item<std::int64_t>(), std::int64_t{1} << 60);
  });
}

TEST(ProcessGroup, NumbersGoFromRankToRankBesideWhatAllDo) {
  InGroup(3, [](ProcessGroup& group) {
    std::vector<std::int64_t> numbers(100'000, 7 + group.rank());
    if (group.rank() > 0) return group.Send(numbers, 0);
    for (const std::uint32_t from : {2u, 1u}) {
      group.Receive(numbers, from);
      EXPECT_THAT(numbers, testing::Each(7 + from));
    }
  });
}

TEST(ProcessGroup, RankThatLeavesIsLostToTheOthers) {
  const Store store = Store::InProcess();
  std::vector<std::string> errors(3);
  OnRanks(3, [&](std::uint32_t rank) {
    ProcessGroup group({.store = store, .rank = rank, .world_size = 3});
    if (rank == 1) return group.Close();
    errors[rank] = test::ErrorOf([&] {
      for (;;) group.AllGather(std::vector<std::int64_t>{rank});
    });
    group.Close();
    EXPECT_EQ(test::ErrorOf([&] { group.AllGather(std::vector<std::int64_t>{rank}); }),
              "this rank has left the others");
  });
  for (const std::size_t rank : {0u, 2u}) {
    EXPECT_THAT(errors[rank], HasSubstr("gathering: another rank is out of reach ("));
  }
}

TEST(ProcessGroup, RankThatDoesNotComeInTimeIsLost) {
  const Store store = Store::InProcess();
  OnRanks(2, [&](std::uint32_t rank) {
    ProcessGroup group(
        {.store = store, .rank = rank, .world_size = 2, .timeout = std::chrono::milliseconds(300)});
    if (rank == 0) {
      EXPECT_THAT(test::ErrorOf([&] { group.AllGather(std::vector<std::int64_t>{0}); }),
                  HasSubstr("gathering: another rank is out of reach ("));
      store.Set("lost", "1");
    }
    store.Wait("lost", std::chrono::seconds(60));
  });
}

// The addresses at which this process listens, as /proc shows them.
std::set<std::string> ListeningAddresses(const std::string& table, int family) {
  std::set<std::string> own;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code code;
    own.insert(std::filesystem::read_symlink(entry.path(), code).string());
  }
  std::set<std::string> addresses;
  std::ifstream file("/proc/self/net/" + table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string skip, local, state, inode;
    fields >> skip >> local >> skip >> state >> skip >> skip >> skip >> skip >> skip >> inode;
    constexpr const char* kListening = "0A";
    if (state != kListening || !own.contains("socket:[" + inode + "]")) continue;
    std::uint32_t words[4] = {};
    for (std::size_t i = 0; i < (family == AF_INET ? 1 : 4); ++i) {
      words[i] = static_cast<std::uint32_t>(std::stoul(local.substr(8 * i, 8), nullptr, 16));
    }
    char text[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(family, words, text, sizeof(text));
    addresses.insert(text);
  }
  return addresses;
}

TEST(ProcessGroup, OnOneMachineListensOnTheLoopbackAlone) {
  InGroup(2, [](ProcessGroup&) {
    EXPECT_THAT(ListeningAddresses("tcp", AF_INET), testing::ElementsAre("127.0.0.1"));
    EXPECT_THAT(ListeningAddresses("tcp6", AF_INET6), testing::IsEmpty());
  });
}

}  // namespace
}  // namespace millrace::model
