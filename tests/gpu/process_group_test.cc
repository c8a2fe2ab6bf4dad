#include "model/process_group.h"

#include <ATen/ATen.h>
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "model/gradient_reducer.h"
#include "tests/gpu/device.h"
#include "tests/model/ranks.h"

namespace millrace::model {
namespace {

// A rank for each GPU of this machine, in one process, over NCCL.
class GpuProcessGroup : public test::OnDevice {
 protected:
  static std::uint32_t Devices() {
    int devices = 0;
    EXPECT_EQ(cudaGetDeviceCount(&devices), cudaSuccess);
    return static_cast<std::uint32_t>(devices);
  }

  // Calls `work` with the group and device of each rank.
  static void OnAll(const std::function<void(ProcessGroup&, c10::Device)>& work) {
    const Store store = Store::InProcess();
    const std::uint32_t ranks = Devices();
    OnRanks(ranks, [&](std::uint32_t rank) {
      const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(rank));
      ASSERT_EQ(cudaSetDevice(static_cast<int>(rank)), cudaSuccess);
      ProcessGroup group({.store = store, .rank = rank, .world_size = ranks, .device = device});
      work(group, device);
      group.AllGather(std::vector<std::int64_t>{0});  // nobody leaves while others still read
    });
  }
};

TEST_F(GpuProcessGroup, SharesTheFirstRanksTensors) {
  OnAll([](ProcessGroup& group, c10::Device device) {
    const at::Tensor weights = at::full({1000}, 0.5 + group.rank(), device);
    const at::Tensor count = at::full({}, 7 + std::int64_t{group.rank()}, device).to(at::kLong);
    group.ShareFirst({weights, count});
    EXPECT_TRUE(at::equal(weights.cpu(), at::full({1000}, 0.5)));
    EXPECT_EQ(count.cpu().item<std::int64_t>(), 7);
  });
}

TEST_F(GpuProcessGroup, GathersNumbersOfTheHost) {
  OnAll([](ProcessGroup& group, c10::Device) {
    const auto all = group.AllGather(std::vector<std::int64_t>{group.rank(), 5});
    ASSERT_EQ(all.size(), Devices());
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      EXPECT_THAT(all[rank], testing::ElementsAre(rank, 5));
    }
  });
}

TEST_F(GpuProcessGroup, GradientsAreTheMeanOverDevices) {
  OnAll([](ProcessGroup& group, c10::Device device) {
    // Whole numbers: their mean is exact, whatever the order.
    const auto whole = [&](at::IntArrayRef shape, std::int64_t seed) {
      at::Tensor tensor = at::arange(c10::multiply_integers(shape), at::kFloat);
      return ((tensor + static_cast<double>(seed)).remainder(7)).reshape(shape).to(device);
    };
    std::vector<NamedTensor> parameters = {{"large", whole({640, 1000}, 0)},
                                           {"small", whole({640}, 1)}};
    for (NamedTensor& parameter : parameters) {
      parameter.tensor.requires_grad_();
      parameter.tensor.mutable_grad() = at::zeros_like(parameter.tensor);
    }
    GradientReducer reducer(group, parameters);
    const auto mine = [&](std::size_t i, std::uint32_t rank) {
      return whole(parameters[i].tensor.sizes(), 3 + rank);
    };
    reducer.Average([&] {
      at::Tensor loss;
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        const at::Tensor part = (parameters[i].tensor * mine(i, group.rank())).sum();
        loss = loss.defined() ? loss + part : part;
      }
      loss.backward();
    });
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      at::Tensor sum = at::zeros_like(parameters[i].tensor);
      for (std::uint32_t rank = 0; rank < Devices(); ++rank) sum = sum.detach() + mine(i, rank);
      EXPECT_TRUE(at::allclose(parameters[i].tensor.grad(), sum / static_cast<double>(Devices())));
    }
  });
}

}  // namespace
}  // namespace millrace::model
