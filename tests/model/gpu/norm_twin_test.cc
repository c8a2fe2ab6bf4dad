// The text of the kernels of batch normalisation, run on the CPU: phase after phase, for one thread
// after the other.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <memory>

#include "model/gpu/kernels/norm_pool.inl"
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
    ForThreads(kThreads, [&](u32 thread) {
      if (is_float) {
        StoreMoments<float>(work, part, tile, thread, *shared);
      } else {
        StoreMoments<Bfloat16>(work, part, tile, thread, *shared);
      }
    });
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

void StoreAllSums(const Grid& grid, float* partials, u32 part, u32 tile, SumsShared* shared) {
  ForHalves(kThreads / grid.columns, [&](u32 left) {
    ForThreads(kThreads, [&](u32 thread) { HalveSums(grid, thread, left, shared); });
  });
  ForThreads(kThreads, [&](u32 thread) { StoreSums(grid, partials, part, tile, thread, *shared); });
}

template <typename Element, After kAfter>
void Reduce(const ReduceWork& work) {
  const auto shared = std::make_unique<SumsShared>();
  ForBlocks(work.grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads, [&](u32 thread) {
      GatherSums<Element, kAfter>(work, part, tile, thread, shared.get());
    });
    StoreAllSums(work.grid, work.partials, part, tile, shared.get());
  });
}

void Finish(const FinishGradientWork& work) {
  const auto shared = std::make_unique<FinishShared>();
  for (u32 block = 0; block * kFinishChannels < work.grid.channels; ++block) {
    ForThreads(kFinishThreads,
               [&](u32 thread) { FinishSumsSlice(work, block, thread, shared.get()); });
    ForHalves(kSlices, [&](u32 left) {
      ForThreads(kFinishThreads, [&](u32 thread) { HalveSlices(thread, left, shared.get()); });
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

const void* DataOf(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}
float* NumbersOf(const at::Tensor& tensor) { return tensor.data_ptr<float>(); }
at::Tensor Floats(std::int64_t count) { return at::full({count}, NAN, at::kFloat); }

// What both kinds of a step have in common: numbers lie as [rows, channels].
struct Twin {
  Twin(const NormCase& with, u32 blocks)
      : most_blocks(blocks),
        grid(GridOf(static_cast<u64>(with.x.numel() / with.x.size(1)),
                    static_cast<u32>(with.x.size(1)), blocks)),
        coefficients(Floats(std::int64_t{kCoefficients} * grid.channels)),
        gradient_coefficients(Floats(std::int64_t{kGradientCoefficients} * grid.channels)) {
    answer = {.y = {},
              .running_mean = at::zeros({grid.channels}),
              .running_var = at::ones({grid.channels}),
              .dx = at::full_like(with.x, NAN),
              .weight_gradient = Floats(grid.channels),
              .bias_gradient = Floats(grid.channels),
              .residual_gradient = {}};
    const at::Tensor partials = Partials(grid);
    const at::Tensor counts = Floats(grid.parts);
    i64 batches = 41;
    Statistics({grid, DataOf(with.x), NumbersOf(partials), NumbersOf(counts)},
               with.x.scalar_type() == at::kFloat);
    Finish(FinishWork{grid, NumbersOf(partials), NumbersOf(counts), NumbersOf(with.weight),
                      NumbersOf(with.bias), NumbersOf(answer.running_mean),
                      NumbersOf(answer.running_var), &batches,
                      static_cast<float>(BatchNorm2d::kMomentum),
                      static_cast<float>(BatchNorm2d::kEpsilon), NumbersOf(coefficients)});
    EXPECT_EQ(batches, 42);
  }

  static at::Tensor Partials(const Grid& of) {
    return Floats(std::int64_t{of.parts} * kPartials * of.channels);
  }

  void FinishSums(const Grid& of, const at::Tensor& partials) {
    Finish(FinishGradientWork{of, grid.rows, NumbersOf(partials), NumbersOf(coefficients),
                              NumbersOf(answer.weight_gradient), NumbersOf(answer.bias_gradient),
                              NumbersOf(gradient_coefficients)});
  }

  u32 most_blocks;
  Grid grid;
  at::Tensor coefficients;
  at::Tensor gradient_coefficients;
  NormAnswer answer;
};

// Matrices are [rows, channels].
template <typename Element, After kAfter>
NormAnswer ByTwin(const NormCase& with, u32 most_blocks) {
  constexpr bool kMasked = kAfter == After::kAddAndRelu;
  Twin twin(with, most_blocks);
  const at::Tensor mask = at::empty({with.x.numel() / kVector}, at::kByte);
  twin.answer.y = at::full_like(with.x, NAN);
  const at::Tensor g = kMasked ? at::full_like(with.x, NAN) : with.dy;
  Apply<Element, kAfter>({twin.grid, DataOf(with.x), NumbersOf(twin.coefficients),
                          DataOf(with.residual), twin.answer.y.mutable_data_ptr(),
                          mask.data_ptr<u8>()});
  const at::Tensor partials = Twin::Partials(twin.grid);
  Reduce<Element, kAfter>({twin.grid, DataOf(with.x), NumbersOf(twin.coefficients), DataOf(with.dy),
                           DataOf(with.dy_too), mask.data_ptr<u8>(), g.mutable_data_ptr(),
                           NumbersOf(partials)});
  twin.FinishSums(twin.grid, partials);
  Gradient<Element, kMasked ? After::kNothing : kAfter>(
      {twin.grid, DataOf(with.x), DataOf(g), NumbersOf(twin.coefficients),
       NumbersOf(twin.gradient_coefficients), twin.answer.dx.mutable_data_ptr()});
  if (kMasked) twin.answer.residual_gradient = g;
  return twin.answer;
}

// Pictures are [N, C, H, W], channels last.
template <typename Element>
NormAnswer PoolByTwin(const NormCase& with, u32 most_blocks) {
  Twin twin(with, most_blocks);
  const auto size = [&](int d) { return static_cast<u32>(with.x.size(d)); };
  const PoolShape shape{size(2), size(3), (size(2) + 1) / 2, (size(3) + 1) / 2};
  const Grid grid = GridOf(u64{size(0)} * shape.pooled_height * shape.pooled_width,
                           twin.grid.channels, most_blocks);
  twin.answer.y = at::full_like(with.dy, NAN);
  const at::Tensor choices = at::empty({with.dy.numel()}, at::kByte);
  const PoolWork forward{grid,
                         shape,
                         DataOf(with.x),
                         NumbersOf(twin.coefficients),
                         twin.answer.y.mutable_data_ptr(),
                         choices.mutable_data_ptr()};
  ForBlocks(grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads, [&](u32 thread) { ApplyPool<Element>(forward, part, tile, thread); });
  });
  const at::Tensor partials = Twin::Partials(grid);
  const PoolGradientWork backward{grid,
                                  shape,
                                  DataOf(with.x),
                                  NumbersOf(twin.coefficients),
                                  DataOf(with.dy),
                                  DataOf(with.dy_too),
                                  choices.const_data_ptr(),
                                  NumbersOf(partials),
                                  NumbersOf(twin.gradient_coefficients),
                                  twin.answer.dx.mutable_data_ptr()};
  const auto shared = std::make_unique<SumsShared>();
  ForBlocks(grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads, [&](u32 thread) {
      GatherPoolSums<Element>(backward, part, tile, thread, shared.get());
    });
    StoreAllSums(grid, NumbersOf(partials), part, tile, shared.get());
  });
  twin.FinishSums(grid, partials);
  ForBlocks(grid, [&](u32 part, u32 tile) {
    ForThreads(kThreads,
               [&](u32 thread) { ApplyPoolGradient<Element>(backward, part, tile, thread); });
  });
  return twin.answer;
}

template <typename Element>
NormAnswer ByTwin(const NormCase& with, u32 most_blocks) {
  if (with.pool) return PoolByTwin<Element>(with, most_blocks);
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
  for (const Shape shape : {Shape{18, 8}, Shape{700, 8}, Shape{333, 24}, Shape{49, 64},
                            Shape{2500, 64}, Shape{77, 264}, Shape{196, 512}}) {
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

TEST(NormTwin, PoolsAsAtenDoes) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  // Even and odd sizes, a single pixel, channels that two blocks share.
  for (const std::vector<std::int64_t>& sizes : std::vector<std::vector<std::int64_t>>{
           {3, 8, 6, 8}, {2, 16, 7, 9}, {5, 8, 1, 1}, {1, 8, 2, 13}, {2, 264, 5, 4}}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      for (const bool two : {false, true}) {
        const auto normal = [&](std::vector<std::int64_t> of) {
          return at::randn(of, generator, at::kFloat);
        };
        const auto pictures = [&](std::vector<std::int64_t> of) {
          return normal(std::move(of)).to(type).contiguous(c10::MemoryFormat::ChannelsLast);
        };
        NormCase with;
        with.x = pictures(sizes);
        with.weight = normal({sizes[1]});
        with.weight[2] = 0;
        with.bias = normal({sizes[1]});
        with.relu = with.pool = true;
        const std::vector<std::int64_t> pooled = {sizes[0], sizes[1], (sizes[2] + 1) / 2,
                                                  (sizes[3] + 1) / 2};
        with.dy = pictures(pooled);
        if (two) with.dy_too = pictures(pooled);
        const NormAnswer wanted = test::NormByAten(with);
        for (const u32 most_blocks : {1u, 5u, 500u}) {
          SCOPED_TRACE(testing::Message() << at::IntArrayRef(sizes) << ", " << type
                                          << ", two: " << two << ", " << most_blocks);
          ExpectNear(ByTwin(with, most_blocks), wanted, type);
        }
      }
    }
  }
}

TEST(NormTwin, RunningStatisticsAreTakenInEvaluation) {
  const NormCase with = RandomCase({100, 16}, at::kFloat, After::kAddAndRelu);
  BatchNorm2d norm(16);
  norm.weight = with.weight;
  norm.bias = with.bias;
  norm.running_mean = at::arange(16, at::kFloat);
  norm.running_var = at::arange(16, at::kFloat) + 0.25;
  const at::Tensor coefficients = Floats(std::int64_t{kCoefficients} * 16);
  for (u32 channel = 0; channel < 20; ++channel) {
    StoreRunningCoefficients({16, NumbersOf(norm.weight), NumbersOf(norm.bias),
                              NumbersOf(norm.running_mean), NumbersOf(norm.running_var),
                              static_cast<float>(BatchNorm2d::kEpsilon), NumbersOf(coefficients)},
                             channel);
  }
  const at::Tensor y = at::full_like(with.x, NAN);
  Apply<float, After::kAddAndRelu>({GridOf(100, 16, 3), DataOf(with.x), NumbersOf(coefficients),
                                    DataOf(with.residual), y.mutable_data_ptr(),
                                    /*mask=*/nullptr});
  EXPECT_LT(Distance(y, test::NormInEvaluation(with, norm)), 2e-6);
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
