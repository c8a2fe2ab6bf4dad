#include "model/gradient_reducer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "model/loss.h"
#include "model/network.h"
#include "tests/model/ranks.h"
#include "tests/support/error_text.h"

namespace millrace::model {
namespace {

constexpr std::int64_t kClasses = 5;

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.strides() == b.strides() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

// Weights of all sizes, convolutions in channels-last among them; no batch normalisation, so that
// the loss of a batch is the mean over its samples.
struct Model {
  Model() {
    at::manual_seed(1);
    const auto add = [this](const std::string& name, at::Tensor tensor) {
      tensor = tensor.contiguous(tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast
                                                   : at::MemoryFormat::Contiguous);
      tensor.requires_grad_();
      tensor.mutable_grad() = at::zeros_like(tensor);
      parameters.push_back({name, tensor});
    };
    add("conv1.weight", at::randn({16, 3, 3, 3}) * 0.2);
    add("conv1.bias", at::randn({16}) * 0.1);
    // More than the first bucket holds.
    add("conv2.weight", at::randn({640, 16, 7, 7}) * 0.05);
    add("fc.weight", at::randn({kClasses, 640}) * 0.1);
    add("fc.bias", at::randn({kClasses}));
  }

  void Backward(const at::Tensor& images, const at::Tensor& labels, double share) {
    const auto& p = parameters;
    at::Tensor x = at::relu(at::conv2d(images, p[0].tensor, p[1].tensor, 1, 1));
    x = at::relu(at::conv2d(x, p[2].tensor, {}, 2, 3)).mean({2, 3});
    x = at::linear(x, p[3].tensor, p[4].tensor);
    (at::cross_entropy_loss(x, labels) * share).backward();
  }

  void Zero() {
    for (NamedTensor& parameter : parameters) parameter.tensor.mutable_grad().zero_();
  }

  std::vector<at::Tensor> Gradients() const {
    std::vector<at::Tensor> list;
    for (const NamedTensor& parameter : parameters) list.push_back(parameter.tensor.grad().clone());
    return list;
  }

  std::vector<NamedTensor> parameters;
};

struct Batch {
  at::Tensor images;
  at::Tensor labels;
};

Batch MakeBatch(std::int64_t step) {
  at::manual_seed(static_cast<std::uint64_t>(100 + step));
  constexpr std::int64_t kSamples = 8;
  return {at::randn({kSamples, 3, 12, 12}).contiguous(at::MemoryFormat::ChannelsLast),
          at::randint(kClasses, {kSamples}, at::kLong)};
}

constexpr std::int64_t kSteps = 4;

// The gradients of each step on rank `wanted`, with the batch dealt to ranks x micro-batches.
std::vector<std::vector<at::Tensor>> Averaged(std::uint32_t ranks, std::int64_t accumulation,
                                              std::uint32_t wanted,
                                              const std::string& address = "127.0.0.1") {
  std::vector<Batch> batches;
  for (std::int64_t step = 0; step < kSteps; ++step) batches.push_back(MakeBatch(step));
  std::vector<std::unique_ptr<Model>> models;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) models.push_back(std::make_unique<Model>());
  std::vector<std::vector<at::Tensor>> gradients;
  const auto work = [&](ProcessGroup& group) {
    Model& model = *models[group.rank()];
    GradientReducer reducer(group, model.parameters);
    std::vector<const void*> places;
    for (const Batch& batch : batches) {
      model.Zero();
      const std::int64_t size = batch.labels.size(0) / (ranks * accumulation);
      for (std::int64_t micro_batch = 0; micro_batch < accumulation; ++micro_batch) {
        const std::int64_t first = (micro_batch * ranks + group.rank()) * size;
        const auto backward = [&] {
          model.Backward(batch.images.narrow(0, first, size), batch.labels.narrow(0, first, size),
                         1.0 / static_cast<double>(accumulation));
        };
        if (micro_batch + 1 < accumulation) {
          backward();
        } else {
          reducer.Average(backward);
        }
      }
      if (group.rank() == wanted) gradients.push_back(model.Gradients());
      std::vector<const void*> now;
      for (const auto& parameter : model.parameters) {
        now.push_back(parameter.tensor.grad().const_data_ptr());
      }
      EXPECT_TRUE(places.empty() || now == places) << "gradients moved";
      places = now;
    }
  };
  InGroup(ranks, work, address);
  return gradients;
}

TEST(GradientReducer, MeansAreTheGradientsOfOneLargeBatch) {
  Model alone;
  std::vector<std::vector<at::Tensor>> expected;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const Batch batch = MakeBatch(step);
    alone.Zero();
    alone.Backward(batch.images, batch.labels, 1);
    expected.push_back(alone.Gradients());
  }
  for (const std::uint32_t ranks : {2u, 4u}) {
    for (const std::int64_t accumulation : {1, 2}) {
      const auto got = Averaged(ranks, accumulation, 0);
      for (std::size_t step = 0; step < expected.size(); ++step) {
        for (std::size_t i = 0; i < expected[step].size(); ++i) {
          const at::Tensor& wanted = expected[step][i];
          EXPECT_EQ(got[step][i].strides(), wanted.strides());
          const double apart = (got[step][i] - wanted).abs().max().item<double>();
          EXPECT_LT(apart, 4e-6 * wanted.abs().max().item<double>())
              << ranks << " ranks, accumulation " << accumulation << ", step " << step << ", "
              << alone.parameters[i].name;
        }
      }
    }
  }
}

TEST(GradientReducer, MeansAreTheSameBitsOnEveryRankAndEveryTime) {
  for (const std::uint32_t ranks : {2u, 3u, 4u}) {
    const auto expected = Averaged(ranks, 1, 0);
    for (std::uint32_t round = 0; round < 3; ++round) {
      const auto got = Averaged(ranks, 1, round % ranks);
      for (std::size_t step = 0; step < expected.size(); ++step) {
        for (std::size_t i = 0; i < expected[step].size(); ++i) {
          EXPECT_TRUE(SameBits(got[step][i], expected[step][i]))
              << ranks << " ranks, step " << step << ", tensor " << i;
        }
      }
    }
  }
}

TEST(GradientReducer, TwoRanksHaveTheSameBitsOnOneMachineAndBetweenMachines) {
  for (const std::int64_t accumulation : {1, 2}) {
    const auto here = Averaged(2, accumulation, 0);
    const auto between = Averaged(2, accumulation, 1, "localhost");
    for (std::size_t step = 0; step < here.size(); ++step) {
      for (std::size_t i = 0; i < here[step].size(); ++i) {
        EXPECT_TRUE(SameBits(between[step][i], here[step][i]))
            << "step " << step << ", tensor " << i;
      }
    }
  }
}

TEST(GradientReducer, WhatBackwardThrowsComesThrough) {
  std::vector<std::unique_ptr<Model>> models;
  for (int rank = 0; rank < 2; ++rank) models.push_back(std::make_unique<Model>());
  InGroup(2, [&](ProcessGroup& group) {
    GradientReducer reducer(group, models[group.rank()]->parameters);
    EXPECT_EQ(test::ErrorOf([&] { reducer.Average([] { Fail("ours"); }); }), "ours");
  });
}

TEST(GradientReducer, RankThatLeavesIsLostInTheMiddleOfBackward) {
  const Batch batch = MakeBatch(0);
  std::vector<std::unique_ptr<Model>> models;
  for (int rank = 0; rank < 2; ++rank) models.push_back(std::make_unique<Model>());
  const Store store = Store::InProcess();
  OnRanks(2, [&](std::uint32_t rank) {
    ProcessGroup group({.store = store, .rank = rank, .world_size = 2});
    GradientReducer reducer(group, models[rank]->parameters);
    if (rank == 1) return;
    EXPECT_THAT(test::ErrorOf([&] {
                  reducer.Average([&] { models[rank]->Backward(batch.images, batch.labels, 1); });
                }),
                testing::HasSubstr("averaging gradients: another rank is out of reach ("));
  });
}

}  // namespace
}  // namespace millrace::model
