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

// ---- sums over the rows of a block, and over all blocks ----

// Two for each channel.
struct SumsShared {
  float first[kVector][kThreads];
  float second[kVector][kThreads];
};

MILLRACE_KERNEL void PutSums(u32 thread, const Values& first, const Values& second,
                             SumsShared* shared) {
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    shared->first[k][thread] = first.of[k];
    shared->second[k][thread] = second.of[k];
  }
}

// Again and again, with left = Half(left), from the rows that a block takes together down to 1.
MILLRACE_KERNEL void HalveSums(const Grid& grid, u32 thread, u32 left, SumsShared* shared) {
  const u32 other = thread + Half(left) * grid.columns;
  if (other >= left * grid.columns) return;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    shared->first[k][thread] += shared->first[k][other];
    shared->second[k][thread] += shared->second[k][other];
  }
}

// What a block leaves of a column.
MILLRACE_KERNEL void StorePartials(const Grid& grid, const Place& place, const Values& first,
                                   const Values& second, float* partials) {
  float* const of_part = partials + static_cast<u64>(place.part) * kPartials * grid.channels;
  Write<float>(of_part, place.column, first);
  Write<float>(of_part + grid.channels, place.column, second);
}

struct FinishShared {
  float first[kFinishThreads];
  float second[kFinishThreads];
};

// As HalveSums(), from kSlices down to 1.
MILLRACE_KERNEL void HalveSlices(u32 thread, u32 left, FinishShared* shared) {
  const u32 other = thread + Half(left) * kFinishChannels;
  if (other >= left * kFinishChannels) return;
  shared->first[thread] += shared->first[other];
  shared->second[thread] += shared->second[other];
}

// ---- statistics ----

struct MomentsShared {
  SumsShared sums;  // of the distances from a number near, and of their squares
  float count[kThreads];
};

// Sums are of distances from a number of the block's own: those of numbers far from 0 would lose
// the digits that the variance is made of.
template <typename Element>
MILLRACE_KERNEL Values NearOf(const StatisticsWork& work, const Place& place) {
  const u64 row = static_cast<u64>(place.part) * place.together;
  return Unpack<Element>(Read<Element>(
      work.x, VectorOf(work.grid, place, row < work.grid.rows ? row : work.grid.rows - 1)));
}

// First phase.
template <typename Element>
MILLRACE_KERNEL void GatherMoments(const StatisticsWork& work, u32 part, u32 tile, u32 thread,
                                   MomentsShared* shared) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  Values sum;
  Values squares;
  float count = 0;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) sum.of[k] = squares.of[k] = 0;
  if (place.works) {
    const Values near = NearOf<Element>(work, place);
    ForRows<4>(
        work.grid, place, /*backwards=*/true,
        [&](u64 row) { return Read<Element>(work.x, VectorOf(work.grid, place, row)); },
        [&](u64, const Packed<Element>& packed) {
          const Values x = Unpack<Element>(packed);
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) {
            const float distance = x.of[k] - near.of[k];
            sum.of[k] += distance;
            squares.of[k] = MulAdd(distance, distance, squares.of[k]);
          }
          count += 1;
        });
  }
  PutSums(thread, sum, squares, &shared->sums);
  shared->count[thread] = count;
}

MILLRACE_KERNEL void HalveMoments(const Grid& grid, u32 thread, u32 left, MomentsShared* shared) {
  HalveSums(grid, thread, left, &shared->sums);
  const u32 other = thread + Half(left) * grid.columns;
  if (other < left * grid.columns) shared->count[thread] += shared->count[other];
}

// The sum of squares of the distances from the mean, from that of the distances from another number
// and from their sum.
MILLRACE_KERNEL float SquaresAroundMean(float sum, float squares, float count) {
  const float around = squares - sum * (sum / count);
  return around < 0 ? 0 : around;
}

// Last phase: mean, and sum of the squares of the distances from it.
template <typename Element>
MILLRACE_KERNEL void StoreMoments(const StatisticsWork& work, u32 part, u32 tile, u32 thread,
                                  const MomentsShared& shared) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  if (!place.works || place.row != 0) return;
  const float count = shared.count[thread];
  Values mean = NearOf<Element>(work, place);
  Values squares;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    const float sum = shared.sums.first[k][thread];
    squares.of[k] = count == 0 ? 0 : SquaresAroundMean(sum, shared.sums.second[k][thread], count);
    if (count != 0) mean.of[k] += sum / count;
  }
  StorePartials(work.grid, place, mean, squares, work.partials);
  if (place.column == 0) work.counts[part] = count;
}

// First phase of what comes behind all blocks: every 32nd part, around the first part's mean.
MILLRACE_KERNEL void FinishSlice(const FinishWork& work, u32 block, u32 thread,
                                 FinishShared* shared) {
  const u32 channels = work.grid.channels;
  const u32 channel = block * kFinishChannels + thread % kFinishChannels;
  float sum = 0;
  float squares = 0;
  if (channel < channels) {
    const float near = work.partials[channel];
    MILLRACE_UNROLL_FOUR
    for (u32 part = thread / kFinishChannels; part < work.grid.parts; part += kSlices) {
      const float* const partials =
          work.partials + static_cast<u64>(part) * kPartials * channels + channel;
      const float distance = partials[0] - near;
      const float weighted = work.counts[part] * distance;
      sum += weighted;
      squares += MulAdd(weighted, distance, partials[channels]);
    }
  }
  shared->first[thread] = sum;
  shared->second[thread] = squares;
}

// Last phase. The running variance is that of the population from which the batch was drawn, as
// PyTorch has it.
MILLRACE_KERNEL void StoreCoefficients(const FinishWork& work, u32 block, u32 thread,
                                       const FinishShared& shared) {
  const u32 channels = work.grid.channels;
  const u32 channel = block * kFinishChannels + thread;
  if (block == 0 && thread == 0) *work.batches += 1;
  if (thread >= kFinishChannels || channel >= channels) return;
  const float rows = static_cast<float>(work.grid.rows);
  const float sum = shared.first[thread];
  const float squares = SquaresAroundMean(sum, shared.second[thread], rows);
  const float mean = work.partials[channel] + sum / rows;
  const float inverse = 1.0F / SquareRoot(squares / rows + work.epsilon);
  work.coefficients[kMean * channels + channel] = mean;
  work.coefficients[kScale * channels + channel] = work.weight[channel] * inverse;
  work.coefficients[kBias * channels + channel] = work.bias[channel];
  work.coefficients[kInverseDeviation * channels + channel] = inverse;
  const float keep = 1.0F - work.momentum;
  const float variance = squares / (rows - 1);
  work.running_mean[channel] = MulAdd(keep, work.running_mean[channel], work.momentum * mean);
  work.running_var[channel] = MulAdd(keep, work.running_var[channel], work.momentum * variance);
}

MILLRACE_KERNEL void StoreRunningCoefficients(const RunningWork& work, u32 channel) {
  if (channel >= work.channels) return;
  const float inverse = 1.0F / SquareRoot(work.running_var[channel] + work.epsilon);
  work.coefficients[kMean * work.channels + channel] = work.running_mean[channel];
  work.coefficients[kScale * work.channels + channel] = work.weight[channel] * inverse;
  work.coefficients[kBias * work.channels + channel] = work.bias[channel];
  work.coefficients[kInverseDeviation * work.channels + channel] = inverse;
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
          if (work.mask != nullptr) {
            work.mask[VectorOf(work.grid, place, row)] = static_cast<u8>(mask);
          }
        }
        if (kAfter != After::kNothing) {
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) y.of[k] = LetThrough(y.of[k]) ? y.of[k] : 0;
        }
        Write<Element>(work.y, VectorOf(work.grid, place, row), y);
      });
}

// ---- sums of the gradient ----

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
    ForRows<1>(
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
  PutSums(thread, sum, product, shared);
}

MILLRACE_KERNEL void StoreSums(const Grid& grid, float* partials, u32 part, u32 tile, u32 thread,
                               const SumsShared& shared) {
  const Place place = PlaceOf(grid, part, tile, thread);
  if (!place.works || place.row != 0) return;
  Values sum;
  Values product;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    sum.of[k] = shared.first[k][thread];
    product.of[k] = shared.second[k][thread];
  }
  StorePartials(grid, place, sum, product, partials);
}

MILLRACE_KERNEL void FinishSumsSlice(const FinishGradientWork& work, u32 block, u32 thread,
                                     FinishShared* shared) {
  const u32 channel = block * kFinishChannels + thread % kFinishChannels;
  float g = 0;
  float product = 0;
  if (channel < work.grid.channels) {
    MILLRACE_UNROLL_FOUR
    for (u32 part = thread / kFinishChannels; part < work.grid.parts; part += kSlices) {
      const float* const partials =
          work.partials + static_cast<u64>(part) * kPartials * work.grid.channels + channel;
      g += partials[0];
      product += partials[work.grid.channels];
    }
  }
  shared->first[thread] = g;
  shared->second[thread] = product;
}

MILLRACE_KERNEL void StoreGradients(const FinishGradientWork& work, u32 block, u32 thread,
                                    const FinishShared& shared) {
  const u32 channels = work.grid.channels;
  const u32 channel = block * kFinishChannels + thread;
  if (thread >= kFinishChannels || channel >= channels) return;
  const float scale = work.coefficients[kScale * channels + channel];
  const float inverse = work.coefficients[kInverseDeviation * channels + channel];
  const float rows = static_cast<float>(work.rows);
  const float g = shared.first[thread];
  const float weight_gradient = shared.second[thread] * inverse;
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
