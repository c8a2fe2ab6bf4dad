#include "model/rank_memory.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "model/c10d_types.h"
#include "model/store.h"
#include "tests/model/ranks.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::model {
namespace {

constexpr auto kLong = std::chrono::minutes(1);

at::Tensor Numbers(std::uint32_t rank, std::int64_t round, std::int64_t size, at::ScalarType type) {
  // Far apart, so that every order of additions has other bits.
  std::vector<double> numbers;
  for (std::int64_t i = 0; i < size; ++i) {
    numbers.push_back(std::exp(static_cast<double>((i * 37 + round * 11 + rank * 101) % 23 - 11)) *
                      (i % 2 == 0 ? 0.1 : -0.3));
  }
  return at::tensor(numbers, at::kDouble).to(type);
}

at::Tensor Mean(std::uint32_t ranks, std::int64_t round, std::int64_t size, at::ScalarType type) {
  const at::Tensor share = at::full({}, 1.0 / ranks, type);
  at::Tensor sum = Numbers(0, round, size, type) * share;
  for (std::uint32_t rank = 1; rank < ranks; ++rank) {
    sum = sum + Numbers(rank, round, size, type) * share;
  }
  return sum;
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.numel() == b.numel() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

// What a rank does in the tests: tensors of these sizes are averaged in each of some rounds, all of
// them under way at once.
void AverageForAWhile(RankMemory& memory, std::uint32_t rank, std::uint32_t ranks) {
  std::vector<at::Tensor> tensors;
  for (const std::int64_t size : {1, 3, 16, 1000, 4097, 70'001}) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      tensors.push_back(Numbers(rank, 0, size, type));
      memory.Share(tensors.back());
      EXPECT_TRUE(SameBits(tensors.back(), Numbers(rank, 0, size, type))) << "what was in it";
    }
  }
  for (std::int64_t round = 0; round < 20; ++round) {
    if (round % ranks == rank) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for (const at::Tensor& tensor : tensors) {
      tensor.copy_(Numbers(rank, round, tensor.numel(), tensor.scalar_type()));
      memory.StartMean(tensor);
    }
    memory.FinishMeans();
    for (const at::Tensor& tensor : tensors) {
      ASSERT_TRUE(SameBits(tensor, Mean(ranks, round, tensor.numel(), tensor.scalar_type())))
          << "rank " << rank << " of " << ranks << ", round " << round << ": " << tensor.numel();
    }
  }
}

TEST(RankMemory, MeansHaveTheBitsOfSumsInTheOrderOfRanks) {
  for (const std::uint32_t ranks : {1u, 2u, 3u, 4u}) {
    const Store store = Store::InProcess();
    OnRanks(ranks, [&](std::uint32_t rank) {
      RankMemory memory(store.impl().store, rank, ranks, kLong);
      AverageForAWhile(memory, rank, ranks);
    });
  }
}

TEST(RankMemory, ProcessesAndThreadsAverageAlike) {
  const test::TemporaryFolder folder;
  const auto path = folder / "store";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  const auto half = [&](std::uint32_t first) {
    OnRanks(2, [&](std::uint32_t lane) {
      RankMemory memory(Store::InFile(path).impl().store, first + lane, 4, kLong);
      AverageForAWhile(memory, first + lane, 4);
    });
  };
  if (child == 0) {
    half(2);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  half(0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(RankMemory, TensorsAndTheirViewsOutliveIt) {
  const Store store = Store::InProcess();
  at::Tensor tensor = at::arange(100, at::kFloat);
  const at::Tensor view = tensor.slice(0, 50);
  {
    RankMemory memory(store.impl().store, 0, 1, kLong);
    memory.Share(tensor);
  }
  EXPECT_EQ(view.const_data_ptr<float>(), tensor.const_data_ptr<float>() + 50);
  EXPECT_EQ(view[0].item<float>(), 50);
  tensor.reset();
  EXPECT_EQ(view[49].item<float>(), 99);
}

TEST(RankMemory, RankThatDoesNotComeInTimeIsNamed) {
  const Store store = Store::InProcess();
  OnRanks(3, [&](std::uint32_t rank) {
    RankMemory memory(store.impl().store, rank, 3, std::chrono::milliseconds(300));
    const at::Tensor tensor = at::ones({10});
    memory.Share(tensor);
    if (rank < 2) memory.StartMean(tensor);
    if (rank == 0) {
      EXPECT_EQ(test::ErrorOf([&] { memory.FinishMeans(); }), "rank 2 has not come within 0.3 s");
      store.Set("over", "1");
    }
    store.Wait("over", kLong);
  });
}

TEST(RankMemory, WaitEndsWhenAnotherThreadLeaves) {
  const Store store = Store::InProcess();
  OnRanks(2, [&](std::uint32_t rank) {
    RankMemory memory(store.impl().store, rank, 2, kLong);
    const at::Tensor tensor = at::ones({10});
    memory.Share(tensor);
    if (rank == 0) {
      memory.StartMean(tensor);
      std::jthread closer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        memory.Leave();
      });
      EXPECT_EQ(test::ErrorOf([&] { memory.FinishMeans(); }), "this rank has left the others");
      store.Set("over", "1");
    }
    store.Wait("over", kLong);
  });
}

TEST(RankMemory, RankWhoseProcessIsKilledIsNamed) {
  const test::TemporaryFolder folder;
  const Store store = Store::InFile(folder / "store");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    RankMemory memory(Store::InFile(folder / "store").impl().store, 1, 2, kLong);
    const at::Tensor tensor = at::ones({10});
    memory.Share(tensor);
    Store::InFile(folder / "store").Set("there", "1");
    for (;;) ::pause();
  }
  RankMemory memory(store.impl().store, 0, 2, kLong);
  const at::Tensor tensor = at::ones({10});
  memory.Share(tensor);
  ASSERT_TRUE(store.Wait("there", kLong));
  memory.StartMean(tensor);
  std::jthread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  });
  EXPECT_EQ(test::ErrorOf([&] { memory.FinishMeans(); }), "rank 1 has ended");
}

TEST(RankMemory, RankWhoseMemoryIsOutOfReachIsNamed) {
  const Store store = Store::InProcess();
  store.Set("lines", "2000000000 3 64 1");
  EXPECT_EQ(
      test::ErrorOf([&] { const RankMemory memory(store.impl().store, 1, 2, kLong); }),
      "rank 0 of this machine: memory of process 2000000000 cannot be opened: "
      "/proc/2000000000/fd/3: No such file or directory; processes that share memory have one "
      "user and see each other in /proc");
}

TEST(RankMemory, DifferentGradientsAreAnError) {
  const Store store = Store::InProcess();
  OnRanks(2, [&](std::uint32_t rank) {
    RankMemory memory(store.impl().store, rank, 2, kLong);
    const at::Tensor tensor = at::ones({10 + rank});
    memory.Share(tensor);
    EXPECT_EQ(test::ErrorOf([&] { memory.StartMean(tensor); }),
              fmt::format("rank {} and rank {} have gradients of different sizes", rank, 1 - rank));
    store.Add("done", 1);
    while (store.Add("done", 0) < 2) std::this_thread::yield();
  });
}

}  // namespace
}  // namespace millrace::model
