// Batch normalisation (arXiv:1502.03167) of a training step with what follows it, in the fewest
// passes over memory: forward reads x for the statistics, and reads it again to write what comes
// behind the rectifier; backward reads x and the gradients for the sums, and reads them again to
// write the gradient of x. All arithmetic is float32.
//
// How work is dealt out follows PyTorch's channels-last kernels (aten/src/ATen/native/cuda/
// Normalization.cuh), what is fused NVIDIA's (apex/contrib/csrc/groupbn).
#ifndef MILLRACE_MODEL_GPU_KERNELS_NORM_INL_
#define MILLRACE_MODEL_GPU_KERNELS_NORM_INL_

#include "norm_work.inl"

namespace millrace::model::gpu {

// Forward: y.
MILLRACE_KERNEL float Normalized(float x, float mean, float scale, float bias) {
  return MulAdd(x - mean, scale, bias);
}
// What is no number is let through, as by ATen.
MILLRACE_KERNEL bool LetThrough(float y) { return !(y <= 0); }

// ---- statistics ----

struct MomentsShared {
  float count[kThreads];
  float mean[kVector][kThreads];
  float squares[kVector][kThreads];
};

// First phase. Sums are of distances from a number of the thread's own: those of numbers far from 0
// would lose the digits that the variance is made of.
template <typename Element>
MILLRACE_KERNEL void GatherMoments(const StatisticsWork& work, u32 part, u32 tile, u32 thread,
                                   MomentsShared* shared) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  Values shift;
  Values sum;
  Values squares;
  float count = 0;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) shift.of[k] = sum.of[k] = squares.of[k] = 0;
  if (place.works) {
    const u64 near = static_cast<u64>(part) * place.together + place.row;
    shift = Unpack<Element>(Read<Element>(
        work.x, VectorOf(work.grid, place, near < work.grid.rows ? near : work.grid.rows - 1)));
    ForRows<4>(
        work.grid, place, /*backwards=*/true,
        [&](u64 row) { return Read<Element>(work.x, VectorOf(work.grid, place, row)); },
        [&](u64, const Packed<Element>& packed) {
          const Values x = Unpack<Element>(packed);
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) {
            const float distance = x.of[k] - shift.of[k];
            sum.of[k] += distance;
            squares.of[k] = MulAdd(distance, distance, squares.of[k]);
          }
          count += 1;
        });
  }
  shared->count[thread] = count;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    const float mean = count == 0 ? 0 : sum.of[k] / count;
    const float rest = squares.of[k] - sum.of[k] * mean;
    shared->mean[k][thread] = shift.of[k] + mean;
    shared->squares[k][thread] = rest < 0 ? 0 : rest;
  }
}

// Again and again, with left = Half(left), from the rows that a block takes together down to 1.
MILLRACE_KERNEL void HalveMoments(const Grid& grid, u32 thread, u32 left, MomentsShared* shared) {
  const u32 other = thread + Half(left) * grid.columns;
  if (other >= left * grid.columns) return;
  const float count = shared->count[thread];
  const float other_count = shared->count[other];
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    const Moments merged = Merge({count, shared->mean[k][thread], shared->squares[k][thread]},
                                 {other_count, shared->mean[k][other], shared->squares[k][other]});
    shared->mean[k][thread] = merged.mean;
    shared->squares[k][thread] = merged.squares;
  }
  shared->count[thread] = count + other_count;
}

// Last phase.
MILLRACE_KERNEL void StoreMoments(const StatisticsWork& work, u32 part, u32 tile, u32 thread,
                                  const MomentsShared& shared) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  if (!place.works || place.row != 0) return;
  Values mean;
  Values squares;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    mean.of[k] = shared.mean[k][thread];
    squares.of[k] = shared.squares[k][thread];
  }
  float* const partials = work.partials + static_cast<u64>(part) * kPartials * work.grid.channels;
  Write<float>(partials, place.column, mean);
  Write<float>(partials + work.grid.channels, place.column, squares);
  if (place.column == 0) work.counts[part] = shared.count[thread];
}

// ---- what the parts amount to ----

struct FinishShared {
  Moments of[kFinishThreads];
};

// First phase: every 32nd part.
MILLRACE_KERNEL void FinishSlice(const FinishWork& work, u32 block, u32 thread,
                                 FinishShared* shared) {
  const u32 channel = block * kFinishChannels + thread % kFinishChannels;
  Moments all{0, 0, 0};
  if (channel < work.grid.channels) {
    for (u32 part = thread / kFinishChannels; part < work.grid.parts; part += kSlices) {
      const float* const partials =
          work.partials + static_cast<u64>(part) * kPartials * work.grid.channels + channel;
      all = Merge(all, {work.counts[part], partials[0], partials[work.grid.channels]});
    }
  }
  shared->of[thread] = all;
}

// As HalveMoments(), from kSlices down to 1.
MILLRACE_KERNEL void HalveSlices(u32 thread, u32 left, FinishShared* shared) {
  const u32 other = thread + Half(left) * kFinishChannels;
  if (other >= left * kFinishChannels) return;
  shared->of[thread] = Merge(shared->of[thread], shared->of[other]);
}

// Last phase. The running variance is that of the population from which the batch was drawn, as
// PyTorch has it.
MILLRACE_KERNEL void StoreCoefficients(const FinishWork& work, u32 block, u32 thread,
                                       const FinishShared& shared) {
  const u32 channels = work.grid.channels;
  const u32 channel = block * kFinishChannels + thread;
  if (block == 0 && thread == 0) *work.batches += 1;
  if (thread >= kFinishChannels || channel >= channels) return;
  const Moments all = shared.of[thread];
  const float inverse = 1.0F / SquareRoot(all.squares / all.count + work.epsilon);
  work.coefficients[kMean * channels + channel] = all.mean;
  work.coefficients[kScale * channels + channel] = work.weight[channel] * inverse;
  work.coefficients[kBias * channels + channel] = work.bias[channel];
  work.coefficients[kInverseDeviation * channels + channel] = inverse;
  const float keep = 1.0F - work.momentum;
  const float variance = all.squares / (all.count - 1);
  work.running_mean[channel] = MulAdd(keep, work.running_mean[channel], work.momentum * all.mean);
  work.running_var[channel] = MulAdd(keep, work.running_var[channel], work.momentum * variance);
}

// ---- y ----

template <typename Element, After kAfter>
MILLRACE_KERNEL void ApplyNorm(const ApplyWork& work, u32 part, u32 tile, u32 thread) {
  constexpr bool kAdds = kAfter == After::kAddAndRelu;
  const Place place = PlaceOf(work.grid, part, tile, thread);
  if (!place.works) return;
  const u32 channels = work.grid.channels;
  const Values mean = OfColumn(work.coefficients + kMean * channels, place);
  const Values scale = OfColumn(work.coefficients + kScale * channels, place);
  const Values bias = OfColumn(work.coefficients + kBias * channels, place);
  struct Loaded {
    Packed<Element> x;
    Packed<Element> residual;
  };
  ForRows<kAdds ? 2 : 4>(
      work.grid, place, /*backwards=*/false,
      [&](u64 row) {
        Loaded loaded;
        loaded.x = Read<Element>(work.x, VectorOf(work.grid, place, row));
        if (kAdds) loaded.residual = Read<Element>(work.residual, VectorOf(work.grid, place, row));
        return loaded;
      },
      [&](u64 row, const Loaded& loaded) {
        Values y = Unpack<Element>(loaded.x);
        MILLRACE_UNROLL
        for (u32 k = 0; k < kVector; ++k) {
          y.of[k] = Normalized(y.of[k], mean.of[k], scale.of[k], bias.of[k]);
        }
        u32 mask = 0;
        if (kAdds) {
          const Values residual = Unpack<Element>(loaded.residual);
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) {
            y.of[k] += residual.of[k];
            mask |= static_cast<u32>(LetThrough(y.of[k])) << k;
          }
          work.mask[VectorOf(work.grid, place, row)] = static_cast<u8>(mask);
        }
        if (kAfter != After::kNothing) {
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) y.of[k] = LetThrough(y.of[k]) ? y.of[k] : 0;
        }
        Write<Element>(work.y, VectorOf(work.grid, place, row), y);
      });
}

// ---- sums of the gradient ----

struct SumsShared {
  float g[kVector][kThreads];
  float product[kVector][kThreads];
};

template <typename Element, After kAfter>
MILLRACE_KERNEL void GatherSums(const ReduceWork& work, u32 part, u32 tile, u32 thread,
                                SumsShared* shared) {
  constexpr bool kMasked = kAfter == After::kAddAndRelu;
  const Place place = PlaceOf(work.grid, part, tile, thread);
  Values sum;
  Values product;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) sum.of[k] = product.of[k] = 0;
  if (place.works) {
    const u32 channels = work.grid.channels;
    const Values mean = OfColumn(work.coefficients + kMean * channels, place);
    Values scale;
    Values bias;
    if (kAfter == After::kRelu) {
      scale = OfColumn(work.coefficients + kScale * channels, place);
      bias = OfColumn(work.coefficients + kBias * channels, place);
    }
    struct Loaded {
      Packed<Element> x;
      Packed<Element> dy;
      Packed<Element> dy_too;
      u32 mask;
    };
    ForRows<2>(
        work.grid, place, /*backwards=*/true,
        [&](u64 row) {
          const u64 vector = VectorOf(work.grid, place, row);
          Loaded loaded;
          loaded.x = Read<Element>(work.x, vector);
          loaded.dy = Read<Element>(work.dy, vector);
          if (kMasked) {
            if (work.dy_too != nullptr) loaded.dy_too = Read<Element>(work.dy_too, vector);
            loaded.mask = work.mask[vector];
          }
          return loaded;
        },
        [&](u64 row, const Loaded& loaded) {
          const Values x = Unpack<Element>(loaded.x);
          Values g = Unpack<Element>(loaded.dy);
          if (kMasked) {
            if (work.dy_too != nullptr) {
              const Values too = Unpack<Element>(loaded.dy_too);
              MILLRACE_UNROLL
              for (u32 k = 0; k < kVector; ++k) g.of[k] += too.of[k];
            }
            MILLRACE_UNROLL
            for (u32 k = 0; k < kVector; ++k) {
              g.of[k] = (loaded.mask >> k & 1) != 0 ? g.of[k] : 0;
            }
            // The sums are of what the others will read.
            const Packed<Element> packed = Pack<Element>(g);
            static_cast<Packed<Element>*>(work.g)[VectorOf(work.grid, place, row)] = packed;
            g = Unpack<Element>(packed);
          }
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) {
            const float distance = x.of[k] - mean.of[k];
            if (kAfter == After::kRelu && !LetThrough(MulAdd(distance, scale.of[k], bias.of[k]))) {
              g.of[k] = 0;
            }
            sum.of[k] += g.of[k];
            product.of[k] = MulAdd(g.of[k], distance, product.of[k]);
          }
        });
  }
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    shared->g[k][thread] = sum.of[k];
    shared->product[k][thread] = product.of[k];
  }
}

MILLRACE_KERNEL void HalveSums(const Grid& grid, u32 thread, u32 left, SumsShared* shared) {
  const u32 other = thread + Half(left) * grid.columns;
  if (other >= left * grid.columns) return;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    shared->g[k][thread] += shared->g[k][other];
    shared->product[k][thread] += shared->product[k][other];
  }
}

MILLRACE_KERNEL void StoreSums(const Grid& grid, float* partials, u32 part, u32 tile, u32 thread,
                               const SumsShared& shared) {
  const Place place = PlaceOf(grid, part, tile, thread);
  if (!place.works || place.row != 0) return;
  Values sum;
  Values product;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    sum.of[k] = shared.g[k][thread];
    product.of[k] = shared.product[k][thread];
  }
  float* const of_part = partials + static_cast<u64>(part) * kPartials * grid.channels;
  Write<float>(of_part, place.column, sum);
  Write<float>(of_part + grid.channels, place.column, product);
}

struct FinishSumsShared {
  float g[kFinishThreads];
  float product[kFinishThreads];
};

MILLRACE_KERNEL void FinishSumsSlice(const FinishGradientWork& work, u32 block, u32 thread,
                                     FinishSumsShared* shared) {
  const u32 channel = block * kFinishChannels + thread % kFinishChannels;
  float g = 0;
  float product = 0;
  if (channel < work.grid.channels) {
    for (u32 part = thread / kFinishChannels; part < work.grid.parts; part += kSlices) {
      const float* const partials =
          work.partials + static_cast<u64>(part) * kPartials * work.grid.channels + channel;
      g += partials[0];
      product += partials[work.grid.channels];
    }
  }
  shared->g[thread] = g;
  shared->product[thread] = product;
}

MILLRACE_KERNEL void HalveSumsSlices(u32 thread, u32 left, FinishSumsShared* shared) {
  const u32 other = thread + Half(left) * kFinishChannels;
  if (other >= left * kFinishChannels) return;
  shared->g[thread] += shared->g[other];
  shared->product[thread] += shared->product[other];
}

MILLRACE_KERNEL void StoreGradients(const FinishGradientWork& work, u32 block, u32 thread,
                                    const FinishSumsShared& shared) {
  const u32 channels = work.grid.channels;
  const u32 channel = block * kFinishChannels + thread;
  if (thread >= kFinishChannels || channel >= channels) return;
  const float scale = work.coefficients[kScale * channels + channel];
  const float inverse = work.coefficients[kInverseDeviation * channels + channel];
  const float rows = static_cast<float>(work.rows);
  const float g = shared.g[thread];
  const float weight_gradient = shared.product[thread] * inverse;
  work.bias_gradient[channel] = g;
  work.weight_gradient[channel] = weight_gradient;
  work.gradient_coefficients[kSlope * channels + channel] =
      -scale * inverse * (weight_gradient / rows);
  work.gradient_coefficients[kOffset * channels + channel] = -scale * (g / rows);
}

// ---- the gradient of x ----

template <typename Element, After kAfter>
MILLRACE_KERNEL void ApplyGradient(const InputWork& work, u32 part, u32 tile, u32 thread) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  if (!place.works) return;
  const u32 channels = work.grid.channels;
  const Values mean = OfColumn(work.coefficients + kMean * channels, place);
  const Values scale = OfColumn(work.coefficients + kScale * channels, place);
  const Values slope = OfColumn(work.gradient_coefficients + kSlope * channels, place);
  const Values offset = OfColumn(work.gradient_coefficients + kOffset * channels, place);
  Values bias;
  if (kAfter == After::kRelu) bias = OfColumn(work.coefficients + kBias * channels, place);
  struct Loaded {
    Packed<Element> x;
    Packed<Element> g;
  };
  ForRows<2>(
      work.grid, place, /*backwards=*/false,
      [&](u64 row) {
        const u64 vector = VectorOf(work.grid, place, row);
        return Loaded{Read<Element>(work.x, vector), Read<Element>(work.g, vector)};
      },
      [&](u64 row, const Loaded& loaded) {
        const Values x = Unpack<Element>(loaded.x);
        const Values g = Unpack<Element>(loaded.g);
        Values dx;
        MILLRACE_UNROLL
        for (u32 k = 0; k < kVector; ++k) {
          const float distance = x.of[k] - mean.of[k];
          dx.of[k] = MulAdd(slope.of[k], distance, offset.of[k]);
          if (kAfter != After::kRelu || LetThrough(MulAdd(distance, scale.of[k], bias.of[k]))) {
            dx.of[k] = MulAdd(scale.of[k], g.of[k], dx.of[k]);
          }
        }
        Write<Element>(work.dx, VectorOf(work.grid, place, row), dx);
      });
}

}  // namespace millrace::model::gpu

#endif  // MILLRACE_MODEL_GPU_KERNELS_NORM_INL_
