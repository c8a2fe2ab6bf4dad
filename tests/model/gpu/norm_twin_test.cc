// The text of the kernels of batch normalisation, run on the CPU: phase after phase, for one thread
// after the other.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <memory>

#include "model/gpu/kernels/norm.inl"
#include "tests/model/gpu/norm_reference.h"

namespace millrace::model::gpu {
namespace {

using test::Distance;
using test::ExpectNear;
using test::NormAnswer;
using test::NormCase;

template <typename Phase>
void ForThreads(u32 threads, const Phase& phase) {
  for (u32 thread = 0; thread < threads; ++thread) phase(thread);
}

template <typename Phase>
void ForBlocks(const Grid& grid, const Phase& phase) {
  const u32 columns = grid.channels / kVector;
  for (u32 tile = 0; tile * grid.columns < columns; ++tile) {
    for (u32 part = 0; part < grid.parts; ++part) phase(part, tile);
  }
}

template <typename Phase>
void ForHalves(u32 begin, const Phase& phase) {
  for (u32 left = begin; left > 1; left = Half(left)) phase(left);
}

void Statistics(const StatisticsWork& work, bool is_float) {
  const auto shared = std::make_unique<MomentsShared>();
  ForBlocks(work.grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads, [&](u32 thread) {
      if (is_float) {
        GatherMoments<float>(work, part, tile, thread, shared.get());
      } else {
        GatherMoments<Bfloat16>(work, part, tile, thread, shared.get());
      }
    });
    ForHalves(kThreads / work.grid.columns, [&](u32 left) {
      ForThreads(kThreads,
                 [&](u32 thread) { HalveMoments(work.grid, thread, left, shared.get()); });
    });
    ForThreads(kThreads, [&](u32 thread) { StoreMoments(work, part, tile, thread, *shared); });
  });
}

void Finish(const FinishWork& work) {
  const auto shared = std::make_unique<FinishShared>();
  for (u32 block = 0; block * kFinishChannels < work.grid.channels; ++block) {
    ForThreads(kFinishThreads, [&](u32 thread) { FinishSlice(work, block, thread, shared.get()); });
    ForHalves(kSlices, [&](u32 left) {
      ForThreads(kFinishThreads, [&](u32 thread) { HalveSlices(thread, left, shared.get()); });
    });
    ForThreads(kFinishThreads,
               [&](u32 thread) { StoreCoefficients(work, block, thread, *shared); });
  }
}

template <typename Element, After kAfter>
void Apply(const ApplyWork& work) {
  ForBlocks(work.grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads, [&](u32 thread) { ApplyNorm<Element, kAfter>(work, part, tile, thread); });
  });
}

template <typename Element, After kAfter>
void Reduce(const ReduceWork& work) {
  const auto shared = std::make_unique<SumsShared>();
  ForBlocks(work.grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads, [&](u32 thread) {
      GatherSums<Element, kAfter>(work, part, tile, thread, shared.get());
    });
    ForHalves(kThreads / work.grid.columns, [&](u32 left) {
      ForThreads(kThreads, [&](u32 thread) { HalveSums(work.grid, thread, left, shared.get()); });
    });
    ForThreads(kThreads, [&](u32 thread) { StoreSums(work, part, tile, thread, *shared); });
  });
}

void Finish(const FinishGradientWork& work) {
  const auto shared = std::make_unique<FinishSumsShared>();
  for (u32 block = 0; block * kFinishChannels < work.grid.channels; ++block) {
    ForThreads(kFinishThreads,
               [&](u32 thread) { FinishSumsSlice(work, block, thread, shared.get()); });
    ForHalves(kSlices, [&](u32 left) {
      ForThreads(kFinishThreads, [&](u32 thread) { HalveSumsSlices(thread, left, shared.get()); });
    });
    ForThreads(kFinishThreads, [&](u32 thread) { StoreGradients(work, block, thread, *shared); });
  }
}

template <typename Element, After kAfter>
void Gradient(const InputWork& work) {
  ForBlocks(work.grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads,
               [&](u32 thread) { ApplyGradient<Element, kAfter>(work, part, tile, thread); });
  });
}

// Matrices are [rows, channels].
template <typename Element, After kAfter>
NormAnswer ByTwin(const NormCase& with, u32 most_blocks) {
  const Grid grid =
      GridOf(static_cast<u64>(with.x.size(0)), static_cast<u32>(with.x.size(1)), most_blocks);
  const auto floats = [](std::int64_t count) { return at::full({count}, NAN, at::kFloat); };
  const at::Tensor partials = floats(std::int64_t{grid.parts} * kPartials * grid.channels);
  const at::Tensor counts = floats(grid.parts);
  const at::Tensor coefficients = floats(std::int64_t{kCoefficients} * grid.channels);
  const at::Tensor gradient_coefficients =
      floats(std::int64_t{kGradientCoefficients} * grid.channels);
  const at::Tensor mask = at::empty({with.x.numel() / kVector}, at::kByte);
  i64 batches = 41;
  NormAnswer answer{.y = at::full_like(with.x, NAN),
                    .running_mean = at::zeros({grid.channels}),
                    .running_var = at::ones({grid.channels}),
                    .dx = at::full_like(with.x, NAN),
                    .weight_gradient = floats(grid.channels),
                    .bias_gradient = floats(grid.channels),
                    .residual_gradient = at::full_like(with.x, NAN)};
  const auto data = [](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.data_ptr() : nullptr;
  };
  const auto numbers = [](const at::Tensor& tensor) { return tensor.data_ptr<float>(); };
  Statistics({grid, data(with.x), numbers(partials), numbers(counts)},
             std::is_same_v<Element, float>);
  Finish(FinishWork{grid, numbers(partials), numbers(counts), numbers(with.weight),
                    numbers(with.bias), numbers(answer.running_mean), numbers(answer.running_var),
                    &batches, static_cast<float>(BatchNorm2d::kMomentum),
                    static_cast<float>(BatchNorm2d::kEpsilon), numbers(coefficients)});
  EXPECT_EQ(batches, 42);
  Apply<Element, kAfter>({grid, data(with.x), numbers(coefficients), data(with.residual),
                          data(answer.y), mask.data_ptr<u8>()});
  constexpr bool kMasked = kAfter == After::kAddAndRelu;
  partials.fill_(NAN);
  Reduce<Element, kAfter>({grid, data(with.x), numbers(coefficients), data(with.dy),
                           data(with.dy_too), mask.data_ptr<u8>(), data(answer.residual_gradient),
                           numbers(partials)});
  Finish(FinishGradientWork{grid, numbers(partials), numbers(coefficients),
                            numbers(answer.weight_gradient), numbers(answer.bias_gradient),
                            numbers(gradient_coefficients)});
  Gradient<Element, kMasked ? After::kNothing : kAfter>(
      {grid, data(with.x), data(kMasked ? answer.residual_gradient : with.dy),
       numbers(coefficients), numbers(gradient_coefficients), data(answer.dx)});
  if (!kMasked) answer.residual_gradient.reset();
  return answer;
}

template <typename Element>
NormAnswer ByTwin(const NormCase& with, u32 most_blocks) {
  if (with.residual.defined()) return ByTwin<Element, After::kAddAndRelu>(with, most_blocks);
  if (with.relu) return ByTwin<Element, After::kRelu>(with, most_blocks);
  return ByTwin<Element, After::kNothing>(with, most_blocks);
}

NormAnswer ByTwin(const NormCase& with, u32 most_blocks) {
  return with.x.scalar_type() == at::kFloat ? ByTwin<float>(with, most_blocks)
                                            : ByTwin<Bfloat16>(with, most_blocks);
}

struct Shape {
  std::int64_t rows;
  std::int64_t channels;
};

NormCase RandomCase(const Shape& shape, at::ScalarType type, After after, bool two = true) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(
      static_cast<std::uint64_t>(shape.rows * 10'000 + shape.channels));
  const auto normal = [&](std::vector<std::int64_t> sizes) {
    return at::randn(sizes, generator, at::kFloat);
  };
  NormCase made;
  made.x = (normal({shape.rows, shape.channels}) * 3 + normal({shape.channels})).to(type);
  made.weight = normal({shape.channels});
  made.bias = normal({shape.channels});
  made.relu = after != After::kNothing;
  made.dy = normal({shape.rows, shape.channels}).to(type);
  if (after == After::kAddAndRelu) {
    made.residual = normal({shape.rows, shape.channels}).to(type);
    if (two) made.dy_too = normal({shape.rows, shape.channels}).to(type);
  }
  return made;
}

constexpr After kAll[] = {After::kNothing, After::kRelu, After::kAddAndRelu};

TEST(NormTwin, GivesWhatAtenGivesInFloat64) {
  // One column and more than a block takes, with and without a rest; fewer rows than threads, and
  // several rounds of all blocks.
  for (const Shape shape : {Shape{2, 8}, Shape{1000, 8}, Shape{333, 24}, Shape{49, 64},
                            Shape{5000, 64}, Shape{77, 264}, Shape{196, 512}}) {
    for (const After after : kAll) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const NormCase with = RandomCase(shape, type, after);
        const NormAnswer wanted = test::NormByAten(with);
        for (const u32 most_blocks : {1u, 7u, 500u}) {
          SCOPED_TRACE(testing::Message()
                       << shape.rows << " x " << shape.channels << ", after "
                       << static_cast<int>(after) << ", " << type << ", " << most_blocks);
          ExpectNear(ByTwin(with, most_blocks), wanted, type);
        }
      }
    }
  }
}

TEST(NormTwin, OneGradientIsEnough) {
  const NormCase with = RandomCase({100, 16}, at::kFloat, After::kAddAndRelu, /*two=*/false);
  ExpectNear(ByTwin(with, 3), test::NormByAten(with), at::kFloat);
}

TEST(NormTwin, VarianceOfNumbersFarFromZeroIsExact) {
  NormCase with = RandomCase({4000, 8}, at::kFloat, After::kNothing);
  // 1,000 times as far as they are wide: sums of squares of float32 would have no digit left.
  with.x = with.x * 0.3 + 1000;
  const NormAnswer wanted = test::NormByAten(with);
  const NormAnswer found = ByTwin(with, 7);
  EXPECT_LT(Distance(found.running_var, wanted.running_var), 1e-5);
  EXPECT_LT(Distance(found.y, wanted.y), 1e-4);
}

TEST(NormTwin, ChannelWithoutVarianceGivesItsBias) {
  NormCase with = RandomCase({300, 8}, at::kBFloat16, After::kNothing);
  with.x.fill_(3);
  const NormAnswer wanted = test::NormByAten(with);
  const NormAnswer found = ByTwin(with, 2);
  EXPECT_LT(Distance(found.y, wanted.y), 0x1p-8);
  EXPECT_LT(Distance(found.dx, wanted.dx), 0x1p-7);
}

TEST(NormTwin, WhatIsNoNumberStaysNone) {
  NormCase with = RandomCase({64, 16}, at::kBFloat16, After::kRelu);
  with.x[5][3] = NAN;
  const NormAnswer found = ByTwin(with, 2);
  EXPECT_TRUE(found.y.select(1, 3).isnan().all().item<bool>());
  EXPECT_TRUE(found.dx.select(1, 3).isnan().all().item<bool>());
  EXPECT_FALSE(found.y.select(1, 4).isnan().any().item<bool>());
}

}  // namespace
}  // namespace millrace::model::gpu
