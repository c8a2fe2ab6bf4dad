#include "model/replica_group.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tests/support/error_text.h"

namespace millrace::model {
namespace {

bool Never() { return false; }

// Values of all magnitudes, so that the order of additions shows.
at::Tensor Values(std::uint64_t seed, std::int64_t count) {
  RandomStream random({.seed = seed}, 0);
  at::Tensor tensor = at::empty({count}, at::kFloat);
  for (std::int64_t i = 0; i < count; ++i) {
    tensor.data_ptr<float>()[i] =
        static_cast<float>(std::ldexp(random.Uniform(-1, 1), static_cast<int>(random.Below(30))));
  }
  return tensor;
}

// The tensors of one lane; more of them than lanes, one of them empty.
std::vector<at::Tensor> TensorsOf(std::size_t lane) {
  std::vector<at::Tensor> tensors;
  for (const std::int64_t count : {1, 1000, 0, 7, 64, 333, 5}) {
    tensors.push_back(Values(100 * lane + tensors.size(), count));
  }
  return tensors;
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return false;
  // An empty tensor has no memory to compare.
  return a.numel() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0;
}

// Calls `work(lane)` on a thread for each lane.
void OnLanes(std::size_t lanes, const std::function<void(std::size_t)>& work) {
  std::vector<std::thread> threads;
  for (std::size_t lane = 0; lane < lanes; ++lane) threads.emplace_back(work, lane);
  for (std::thread& thread : threads) thread.join();
}

TEST(ReplicaGroup, MeanIsTheSumInLaneOrderOnEveryLaneWhateverTheTiming) {
  for (const std::size_t lanes : {1u, 2u, 3u, 8u}) {
    std::vector<at::Tensor> expected;
    for (std::size_t i = 0; i < TensorsOf(0).size(); ++i) {
      at::Tensor sum = TensorsOf(0)[i];
      for (std::size_t lane = 1; lane < lanes; ++lane) sum.add_(TensorsOf(lane)[i]);
      expected.push_back(lanes == 1 ? sum : sum.div_(static_cast<double>(lanes)));
    }
    for (std::uint64_t round = 0; round < 8; ++round) {
      std::vector<std::vector<at::Tensor>> tensors;
      for (std::size_t lane = 0; lane < lanes; ++lane) tensors.push_back(TensorsOf(lane));
      ReplicaGroup group(lanes, Never);
      EXPECT_EQ(group.lanes(), lanes);
      OnLanes(lanes, [&](std::size_t lane) {
        // Another lane is late in each round.
        std::this_thread::sleep_for(std::chrono::milliseconds(lane == round % lanes ? 3 : 0));
        group.Average(lane, tensors[lane]);
      });
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        for (std::size_t i = 0; i < expected.size(); ++i) {
          EXPECT_TRUE(SameBits(tensors[lane][i], expected[i]))
              << lanes << " lanes, lane " << lane << ", tensor " << i;
        }
      }
    }
  }
}

TEST(ReplicaGroup, ManyCallsInARowDoNotMixTheirTensors) {
  constexpr std::size_t kLanes = 3;
  ReplicaGroup group(kLanes, Never);
  std::atomic<int> wrong{0};
  OnLanes(kLanes, [&](std::size_t lane) {
    for (int call = 0; call < 300; ++call) {
      // 0, 1 and 2 more than a multiple of 10: the mean is that multiple plus one.
      at::Tensor tensor = at::full({5}, 10 * call + static_cast<int>(lane), at::kFloat);
      group.Average(lane, {tensor});
      if (!tensor.eq(10 * call + 1).all().item<bool>()) ++wrong;
      at::Tensor buffer = at::full({3}, 100 * call + static_cast<int>(lane), at::kFloat);
      group.ShareFirst(lane, {buffer});
      if (!buffer.eq(100 * call).all().item<bool>()) ++wrong;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(ReplicaGroup, ShareFirstGivesEveryLaneTheBitsOfLaneZero) {
  std::vector<std::vector<at::Tensor>> tensors;
  for (std::size_t lane = 0; lane < 3; ++lane) tensors.push_back(TensorsOf(lane));
  for (auto& of_lane : tensors) of_lane.push_back(at::full({1}, 7, at::kLong));
  tensors[0].back().fill_(std::int64_t{1} << 60);
  ReplicaGroup group(3, Never);
  OnLanes(3, [&](std::size_t lane) { group.ShareFirst(lane, tensors[lane]); });
  std::vector<at::Tensor> expected = TensorsOf(0);
  expected.push_back(at::full({1}, std::int64_t{1} << 60, at::kLong));
  for (const auto& of_lane : tensors) {
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(SameBits(of_lane[i], expected[i]));
  }
}

TEST(ReplicaGroup, LaneThatNeverComesIsAnErrorOnceTheRunHasStopped) {
  for (const bool average : {true, false}) {
    std::atomic<bool> stopped{false};
    ReplicaGroup group(3, [&] { return stopped.load(); });
    std::vector<std::string> errors(2);
    std::thread stopper([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      stopped = true;
    });
    OnLanes(2, [&](std::size_t lane) {
      errors[lane] = test::ErrorOf([&] {
        std::vector<at::Tensor> tensors = TensorsOf(lane);
        if (average) group.Average(lane, tensors);
        if (!average) group.ShareFirst(lane, tensors);
      });
    });
    stopper.join();
    EXPECT_THAT(errors, testing::Each("a lane waited for another one that has stopped"));
  }
}

TEST(ReplicaGroup, OneLaneKeepsItsTensorsAndNeverWaits) {
  ReplicaGroup group(1, [] { return true; });
  at::Tensor tensor = Values(1, 10);
  group.Average(0, {tensor});
  group.ShareFirst(0, {tensor});
  EXPECT_TRUE(SameBits(tensor, Values(1, 10)));
}

TEST(ReplicaGroup, GradientsOfParametersMayBeAveraged) {
  std::vector<at::Tensor> parameters;
  for (int lane = 0; lane < 2; ++lane) {
    parameters.push_back(at::ones({4}, at::requires_grad()));
    parameters.back().mutable_grad() = at::full({4}, 1 + 2 * lane, at::kFloat);
  }
  ReplicaGroup group(2, Never);
  OnLanes(2, [&](std::size_t lane) { group.Average(lane, {parameters[lane].grad()}); });
  for (const at::Tensor& parameter : parameters) {
    EXPECT_TRUE(parameter.grad().eq(2).all().item<bool>());
  }
}

}  // namespace
}  // namespace millrace::model
