#include "model/sync_norm.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "model/gradient_reducer.h"
#include "model/loss.h"
#include "model/network.h"
#include "model/precision.h"
#include "tests/model/ranks.h"
#include "tests/support/error_text.h"

namespace millrace::model {
namespace {

constexpr std::int64_t kChannels = 19;
constexpr std::int64_t kSide = 5;
constexpr std::int64_t kBatches = 3;

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.strides() == b.strides() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

// The largest difference as a share of the largest number.
double Apart(const at::Tensor& got, const at::Tensor& wanted) {
  const at::Tensor right = wanted.to(at::kDouble);
  return ((got.to(at::kDouble) - right).abs().max() / right.abs().max()).item<double>();
}

BatchNorm2d MakeNorm(at::ScalarType type) {
  at::manual_seed(7);
  BatchNorm2d norm(kChannels);
  norm.weight = at::randn({kChannels}, at::kDouble).to(type);
  norm.bias = at::randn({kChannels}, at::kDouble).to(type);
  norm.running_mean = norm.running_mean.to(type);
  norm.running_var = norm.running_var.to(type);
  norm.Finish();
  return norm;
}

// Samples for ranks with means and deviations of their own, far from zero.
std::vector<at::Tensor> MakeParts(std::int64_t batch, const std::vector<std::int64_t>& samples,
                                  at::ScalarType type, at::MemoryFormat format) {
  at::manual_seed(static_cast<std::uint64_t>(100 + batch));
  std::vector<at::Tensor> parts;
  for (std::size_t rank = 0; rank < samples.size(); ++rank) {
    const double own = static_cast<double>(rank);
    const at::Tensor x = at::randn({samples[rank], kChannels, kSide, kSide}, at::kDouble);
    parts.push_back((x * (1 + own) + 8 - 5 * own).to(type).contiguous(format));
  }
  return parts;
}

// What normalising batches leaves, by batch.
struct Results {
  std::vector<at::Tensor> y;
  std::vector<at::Tensor> dx;
  std::vector<at::Tensor> of_weight;
  std::vector<at::Tensor> of_bias;
  BatchNorm2d norm;
};

void Add(Results& results, const at::Tensor& x, ProcessGroup* ranks) {
  BatchNorm2d& norm = results.norm;
  norm.ranks = ranks;
  norm.weight.mutable_grad().reset();
  norm.bias.mutable_grad().reset();
  const at::Tensor leaf = x.detach().requires_grad_();
  const at::Tensor y = norm.Forward(leaf, /*training=*/true);
  // A gradient that hangs together with x, so that no term of dx is small, and is the same bits
  // wherever the sample is.
  y.backward((x.to(at::kDouble) * 0.3).sin().to(x.scalar_type()));
  results.y.push_back(y.detach());
  results.dx.push_back(leaf.grad());
  results.of_weight.push_back(norm.weight.grad());
  results.of_bias.push_back(norm.bias.grad());
}

struct Case {
  at::ScalarType type = at::kFloat;  // of x; norms of 16 bits are float32
  at::MemoryFormat format = at::MemoryFormat::ChannelsLast;
};

at::ScalarType NormType(at::ScalarType type) { return type == at::kDouble ? type : at::kFloat; }

// By rank.
std::vector<Results> OverRanks(const std::vector<std::int64_t>& samples, const Case& of,
                               const std::string& address = "127.0.0.1") {
  std::vector<Results> results(samples.size());
  std::vector<std::vector<at::Tensor>> parts;
  for (std::int64_t batch = 0; batch < kBatches; ++batch) {
    parts.push_back(MakeParts(batch, samples, of.type, of.format));
  }
  for (Results& result : results) result.norm = MakeNorm(NormType(of.type));
  InGroup(
      static_cast<std::uint32_t>(samples.size()),
      [&](ProcessGroup& group) {
        for (std::size_t batch = 0; batch < parts.size(); ++batch) {
          if (batch % samples.size() == group.rank()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
          }
          Add(results[group.rank()], parts[batch][group.rank()], &group);
        }
      },
      address);
  return results;
}

Results Alone(const std::vector<std::int64_t>& samples, const Case& of) {
  Results result;
  result.norm = MakeNorm(NormType(of.type));
  for (std::int64_t batch = 0; batch < kBatches; ++batch) {
    const at::Tensor whole = at::cat(MakeParts(batch, samples, of.type, of.format));
    Add(result, whole.contiguous(of.format), nullptr);
  }
  return result;
}

const std::vector<std::vector<std::int64_t>> kShares = {{4, 4}, {1, 6}, {2, 5, 1}};

void ExpectTheWholeBatch(const Case& of, double tolerance) {
  for (const auto& samples : kShares) {
    const Results whole = Alone(samples, of);
    const std::vector<Results> ranks = OverRanks(samples, of);
    for (std::size_t batch = 0; batch < static_cast<std::size_t>(kBatches); ++batch) {
      std::int64_t first = 0;
      at::Tensor of_weight = at::zeros({kChannels}, at::kDouble);
      at::Tensor of_bias = at::zeros({kChannels}, at::kDouble);
      for (std::size_t rank = 0; rank < samples.size(); ++rank) {
        const Results& got = ranks[rank];
        const auto own = [&](const at::Tensor& tensor) {
          return tensor.narrow(0, first, samples[rank]);
        };
        EXPECT_LT(Apart(got.y[batch], own(whole.y[batch])), tolerance);
        EXPECT_LT(Apart(got.dx[batch], own(whole.dx[batch])), tolerance);
        EXPECT_EQ(got.y[batch].scalar_type(), of.type);
        EXPECT_EQ(got.dx[batch].scalar_type(), of.type);
        EXPECT_TRUE(got.y[batch].is_contiguous(of.format));
        EXPECT_TRUE(got.dx[batch].is_contiguous(of.format));
        of_weight += got.of_weight[batch];
        of_bias += got.of_bias[batch];
        first += samples[rank];
      }
      EXPECT_LT(Apart(of_weight, whole.of_weight[batch]), tolerance);
      EXPECT_LT(Apart(of_bias, whole.of_bias[batch]), tolerance);
    }
    for (const Results& got : ranks) {
      EXPECT_LT(Apart(got.norm.running_mean, whole.norm.running_mean), tolerance);
      EXPECT_LT(Apart(got.norm.running_var, whole.norm.running_var), tolerance);
      EXPECT_EQ(got.norm.num_batches_tracked.item<std::int64_t>(), kBatches);
    }
  }
}

TEST(SyncNorm, IsThatOfOneRankWithTheWholeBatch) {
  for (const auto format : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
    ExpectTheWholeBatch({.type = at::kDouble, .format = format}, 1e-13);
    ExpectTheWholeBatch({.type = at::kFloat, .format = format}, 1e-5);
  }
}

TEST(SyncNorm, SixteenBitsRoundWhatFloat32Gives) {
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    ExpectTheWholeBatch({.type = type}, type == at::kBFloat16 ? 0.02 : 0.003);
  }
}

TEST(SyncNorm, WithoutTheOtherRanksIsAnother) {
  const std::vector<std::int64_t> samples{4, 4};
  const Results whole = Alone(samples, {});
  Results own;
  own.norm = MakeNorm(at::kFloat);
  Add(own, MakeParts(0, samples, at::kFloat, at::MemoryFormat::ChannelsLast)[0], nullptr);
  EXPECT_GT(Apart(own.y[0], whole.y[0].narrow(0, 0, 4)), 0.1);
}

TEST(SyncNorm, GivesTheSameBitsOnEveryRankAndEveryTime) {
  for (const auto& samples : kShares) {
    const std::vector<Results> wanted = OverRanks(samples, {});
    for (const char* address : {"127.0.0.1", "localhost"}) {
      const std::vector<Results> got = OverRanks(samples, {}, address);
      for (std::size_t rank = 0; rank < samples.size(); ++rank) {
        EXPECT_TRUE(SameBits(got[rank].norm.running_mean, wanted[0].norm.running_mean));
        EXPECT_TRUE(SameBits(got[rank].norm.running_var, wanted[0].norm.running_var));
        for (std::size_t batch = 0; batch < static_cast<std::size_t>(kBatches); ++batch) {
          EXPECT_TRUE(SameBits(got[rank].y[batch], wanted[rank].y[batch]));
          EXPECT_TRUE(SameBits(got[rank].dx[batch], wanted[rank].dx[batch]));
          EXPECT_TRUE(SameBits(got[rank].of_weight[batch], wanted[rank].of_weight[batch]));
        }
      }
    }
  }
}

TEST(SyncNorm, RankThatLeavesIsLostForwardAndBackward) {
  for (const bool forward : {true, false}) {
    const Store store = Store::InProcess();
    OnRanks(2, [&](std::uint32_t rank) {
      ProcessGroup group({.store = store, .rank = rank, .world_size = 2});
      const BatchNorm2d norm = MakeNorm(at::kFloat);
      const at::Tensor x = at::ones({2, kChannels, kSide, kSide}).requires_grad_();
      if (rank == 1) {
        if (!forward) SyncNorm(norm, x, group);
        return;
      }
      try {
        const at::Tensor y = SyncNorm(norm, x, group);
        EXPECT_FALSE(forward);
        y.sum().backward();
        ADD_FAILURE() << "nobody was missed";
      } catch (const LostRank& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("gathering: another rank is out of reach ("));
      }
    });
  }
}

constexpr std::int64_t kClasses = 5;

std::unique_ptr<Network> MakeSmall(bool sync) {
  auto network = MakeNetwork(
      Params::FromJson(
          fmt::format(R"({{"name": "resnet18", "width": 8, "sync_batch_norm": {}}})", sync),
          "model"),
      kClasses, /*seed=*/1);
  for (const NamedTensor& parameter : network->parameters()) {
    parameter.tensor.mutable_grad() = at::zeros_like(parameter.tensor);
  }
  return network;
}

struct Images {
  Images() {
    at::manual_seed(5);
    constexpr std::int64_t kSamples = 24;
    x = at::randn({kSamples, 3, 64, 64}).contiguous(at::MemoryFormat::ChannelsLast);
    // Ranks differ.
    x += at::linspace(-1, 1, kSamples).view({-1, 1, 1, 1});
    labels = at::randint(kClasses, {kSamples}, at::kLong);
  }
  at::Tensor x;
  at::Tensor labels;
};

void Backward(Network& network, const Images& images, std::int64_t first, std::int64_t count,
              Amp amp) {
  const auto loss = MakeLoss(Params("loss"));
  at::Tensor mean;
  {
    const Autocast autocast(amp, at::kCPU);
    mean = loss->Mean(
        network.Forward(images.x.narrow(0, first, count), /*training=*/true).to(at::kFloat),
        images.labels.narrow(0, first, count));
  }
  mean.backward();
}

// The network of each rank after the reducer has averaged its gradients; for one rank without all
// that.
std::vector<std::unique_ptr<Network>> Trained(std::uint32_t ranks, bool sync, Amp amp,
                                              const std::string& address = "127.0.0.1") {
  const Images images;
  std::vector<std::unique_ptr<Network>> networks;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) networks.push_back(MakeSmall(sync));
  const std::int64_t count = images.labels.size(0) / ranks;
  if (ranks == 1) {
    Backward(*networks[0], images, 0, count, amp);
    return networks;
  }
  InGroup(
      ranks,
      [&](ProcessGroup& group) {
        Network& network = *networks[group.rank()];
        if (sync) network.SynchronizeNorms(group);
        GradientReducer reducer(group, network.parameters());
        reducer.Average([&] { Backward(network, images, group.rank() * count, count, amp); });
      },
      address);
  return networks;
}

// Of gradients and running statistics, tensor by tensor; the largest.
double Apart(const Network& got, const Network& wanted) {
  double apart = 0;
  for (std::size_t i = 0; i < wanted.parameters().size(); ++i) {
    const double own =
        Apart(got.parameters()[i].tensor.grad(), wanted.parameters()[i].tensor.grad());
    apart = std::max(apart, own);
  }
  for (std::size_t i = 0; i < wanted.buffers().size(); ++i) {
    apart = std::max(apart, Apart(got.buffers()[i].tensor, wanted.buffers()[i].tensor));
  }
  return apart;
}

TEST(SyncNorm, NetworkBesideTheReducerIsThatOfOneRankWithTheWholeBatch) {
  const auto whole = Trained(1, false, Amp::kOff);
  for (const std::uint32_t ranks : {2u, 3u}) {
    for (const char* address : {"127.0.0.1", "localhost"}) {
      for (const auto& network : Trained(ranks, true, Amp::kOff, address)) {
        EXPECT_LT(Apart(*network, *whole[0]), 2e-4) << ranks << " ranks at " << address;
      }
    }
    EXPECT_GT(Apart(*Trained(ranks, false, Amp::kOff)[0], *whole[0]), 0.1);
  }
}

TEST(SyncNorm, NetworkUnderAutocastIsAsNearToFloat32AsOneRankWithTheWholeBatch) {
  const auto exact = Trained(1, false, Amp::kOff);
  const auto whole = Trained(1, false, Amp::kBf16);
  const auto ranks = Trained(2, true, Amp::kBf16);
  // How near that is depends on the processor's kernels.
  const double rounding = Apart(*whole[0], *exact[0]);
  EXPECT_LT(Apart(*ranks[0], *exact[0]), 1.5 * rounding);
  EXPECT_GT(Apart(*Trained(2, false, Amp::kBf16)[0], *exact[0]), 1.5 * rounding);
  for (std::size_t i = 0; i < whole[0]->state().size(); ++i) {
    EXPECT_TRUE(SameBits(ranks[0]->state()[i].tensor, ranks[1]->state()[i].tensor))
        << whole[0]->state()[i].name;
  }
}

TEST(SyncNorm, NetworkThatIsToSynchronizeDoesSoInTrainingAlone) {
  const Images images;
  const auto network = MakeSmall(true);
  const auto plain = MakeSmall(false);
  EXPECT_TRUE(network->sync_batch_norm());
  EXPECT_FALSE(plain->sync_batch_norm());
  InGroup(2, [&](ProcessGroup& group) {
    if (group.rank() > 0) return;  // nobody is waited for
    network->SynchronizeNorms(group);
    const c10::NoGradGuard no_grad;
    EXPECT_TRUE(SameBits(network->Forward(images.x, /*training=*/false),
                         plain->Forward(images.x, /*training=*/false)));
  });
}

}  // namespace
}  // namespace millrace::model
