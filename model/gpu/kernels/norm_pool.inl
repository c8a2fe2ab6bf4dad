// Batch normalisation, rectifier and pooling (the largest of 3 x 3 pixels, every other one, with a
// border of one pixel that is never chosen) in one: what lies between them is never written.
//
// A number of what comes out has one pixel that it was chosen from. Backward goes over squares of
// 2 x 2 pixels, beginning with even ones: of the same number as pixels come out, and each touched
// by four windows.
#ifndef MILLRACE_MODEL_GPU_KERNELS_NORM_POOL_INL_
#define MILLRACE_MODEL_GPU_KERNELS_NORM_POOL_INL_

#include "norm.inl"

namespace millrace::model::gpu {

// Which pixel of a window, row after row, each of eight channels was chosen from: a byte each.
constexpr u32 kWindow = 3;
constexpr u32 kNoPixel = 15;  // the rectifier let nothing through
struct alignas(8) Choices {
  u32 words[2];
};
MILLRACE_KERNEL u32 ChoiceOf(const Choices& choices, u32 k) {
  return choices.words[k / 4] >> (k % 4 * 8) & 0xFF;
}

// A pixel that comes out, and the square of pixels that begins at twice its place.
struct PoolPlace {
  u32 picture;
  u32 y;
  u32 x;
};
MILLRACE_KERNEL PoolPlace PoolPlaceOf(const PoolShape& shape, u64 row) {
  const u32 line = static_cast<u32>(row) / shape.pooled_width;
  return {line / shape.pooled_height, line % shape.pooled_height,
          static_cast<u32>(row) - line * shape.pooled_width};
}
// Rows of [pictures, height, width].
MILLRACE_KERNEL u64 PixelRow(const PoolShape& shape, u32 picture, u32 y, u32 x) {
  return (static_cast<u64>(picture) * shape.height + y) * shape.width + x;
}

template <typename Element>
MILLRACE_KERNEL void ApplyPool(const PoolWork& work, u32 part, u32 tile, u32 thread) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  if (!place.works) return;
  const u32 channels = work.grid.channels;
  const Values mean = OfColumn(work.coefficients + kMean * channels, place);
  const Values scale = OfColumn(work.coefficients + kScale * channels, place);
  const Values bias = OfColumn(work.coefficients + kBias * channels, place);
  // The largest number that comes out is that of the largest that went in, or of the smallest.
  Values sign;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) {
    sign.of[k] = scale.of[k] > 0 ? 1.0F : scale.of[k] < 0 ? -1.0F : 0.0F;
  }
  ForRows<1>(
      work.grid, place, /*backwards=*/false, [](u64) { return 0; },
      [&](u64 row, int) {
        const PoolPlace at = PoolPlaceOf(work.shape, row);
        Packed<Element> window[kWindow * kWindow];
        bool inside[kWindow * kWindow];
        MILLRACE_UNROLL
        for (u32 i = 0; i < kWindow * kWindow; ++i) {
          // One more than the place, so that it is not negative.
          const u32 y = 2 * at.y + i / kWindow;
          const u32 x = 2 * at.x + i % kWindow;
          inside[i] = y > 0 && y <= work.shape.height && x > 0 && x <= work.shape.width;
          if (inside[i]) {
            window[i] = Read<Element>(
                work.x, VectorOf(work.grid, place, PixelRow(work.shape, at.picture, y - 1, x - 1)));
          }
        }
        // The middle is always inside.
        Values best = Unpack<Element>(window[4]);
        u32 from[kVector];
        MILLRACE_UNROLL
        for (u32 k = 0; k < kVector; ++k) {
          best.of[k] *= sign.of[k];
          from[k] = 4;
        }
        MILLRACE_UNROLL
        for (u32 i = 0; i < kWindow * kWindow; ++i) {
          if (i == 4 || !inside[i]) continue;
          const Values x = Unpack<Element>(window[i]);
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) {
            const float candidate = x.of[k] * sign.of[k];
            // Of equal ones the first, as ATen.
            if (i < 4 ? candidate > best.of[k] || (candidate == best.of[k] && from[k] == 4)
                      : candidate > best.of[k]) {
              best.of[k] = candidate;
              from[k] = i;
            }
          }
        }
        Choices choices{{0, 0}};
        Values y;
        MILLRACE_UNROLL
        for (u32 k = 0; k < kVector; ++k) {
          y.of[k] = sign.of[k] == 0
                        ? Normalized(mean.of[k], mean.of[k], 0, bias.of[k])
                        : Normalized(best.of[k] * sign.of[k], mean.of[k], scale.of[k], bias.of[k]);
          const bool let_through = LetThrough(y.of[k]);
          y.of[k] = let_through ? y.of[k] : 0;
          choices.words[k / 4] |= (let_through ? from[k] : kNoPixel) << (k % 4 * 8);
        }
        const u64 vector = VectorOf(work.grid, place, row);
        Write<Element>(work.y, vector, y);
        if (work.choices != nullptr) static_cast<Choices*>(work.choices)[vector] = choices;
      });
}

constexpr u32 kSquare = 4;  // pixels

// The gradients of what the rectifier gives, of the pixels of a square: row after row.
struct SquareValues {
  Values of[kSquare];
};

template <typename Element>
MILLRACE_KERNEL SquareValues SquareGradients(const PoolGradientWork& work, const Place& place,
                                             const PoolPlace& at, u64 row) {
  const PoolShape& shape = work.shape;
  // The windows in the middle of which the square's first pixel lies, right of it, below, and both.
  Packed<Element> dy[kSquare];
  Packed<Element> dy_too[kSquare];
  Choices choices[kSquare];
  MILLRACE_UNROLL
  for (u32 w = 0; w < kSquare; ++w) {
    const bool inside = at.y + w / 2 < shape.pooled_height && at.x + w % 2 < shape.pooled_width;
    const u64 vector =
        VectorOf(work.grid, place, inside ? row + w / 2 * shape.pooled_width + w % 2 : row);
    dy[w] = Read<Element>(work.dy, vector);
    if (work.dy_too != nullptr) dy_too[w] = Read<Element>(work.dy_too, vector);
    choices[w] = static_cast<const Choices*>(work.choices)[vector];
    if (!inside) choices[w] = Choices{{0x0F0F0F0F, 0x0F0F0F0F}};
  }
  SquareValues g;
  MILLRACE_UNROLL
  for (u32 pixel = 0; pixel < kSquare; ++pixel) {
    MILLRACE_UNROLL
    for (u32 k = 0; k < kVector; ++k) g.of[pixel].of[k] = 0;
  }
  MILLRACE_UNROLL
  for (u32 w = 0; w < kSquare; ++w) {
    Values gradient = Unpack<Element>(dy[w]);
    if (work.dy_too != nullptr) {
      const Values too = Unpack<Element>(dy_too[w]);
      MILLRACE_UNROLL
      for (u32 k = 0; k < kVector; ++k) gradient.of[k] += too.of[k];
    }
    MILLRACE_UNROLL
    for (u32 pixel = 0; pixel < kSquare; ++pixel) {
      // A window right of a pixel has it in its first column, if at all.
      if (pixel / 2 < w / 2 || pixel % 2 < w % 2) continue;
      const u32 choice = (pixel / 2 + 1 - w / 2 * 2) * kWindow + pixel % 2 + 1 - w % 2 * 2;
      MILLRACE_UNROLL
      for (u32 k = 0; k < kVector; ++k) {
        if (ChoiceOf(choices[w], k) == choice) g.of[pixel].of[k] += gradient.of[k];
      }
    }
  }
  return g;
}

// Calls use(vector of x, x, g) for each pixel of a square that the picture has.
template <typename Element, typename Use>
MILLRACE_KERNEL void ForSquare(const PoolGradientWork& work, const Place& place, u64 row, Use use) {
  const PoolPlace at = PoolPlaceOf(work.shape, row);
  const u64 first =
      VectorOf(work.grid, place, PixelRow(work.shape, at.picture, 2 * at.y, 2 * at.x));
  const u32 columns = work.grid.channels / kVector;
  Packed<Element> x[kSquare];
  bool inside[kSquare];
  MILLRACE_UNROLL
  for (u32 pixel = 0; pixel < kSquare; ++pixel) {
    inside[pixel] =
        2 * at.y + pixel / 2 < work.shape.height && 2 * at.x + pixel % 2 < work.shape.width;
    if (inside[pixel]) {
      x[pixel] =
          Read<Element>(work.x, first + (pixel / 2 * work.shape.width + pixel % 2) * columns);
    }
  }
  const SquareValues g = SquareGradients<Element>(work, place, at, row);
  MILLRACE_UNROLL
  for (u32 pixel = 0; pixel < kSquare; ++pixel) {
    if (inside[pixel]) {
      use(first + (pixel / 2 * work.shape.width + pixel % 2) * columns, Unpack<Element>(x[pixel]),
          g.of[pixel]);
    }
  }
}

// As GatherSums(); the other phases are the same.
template <typename Element>
MILLRACE_KERNEL void GatherPoolSums(const PoolGradientWork& work, u32 part, u32 tile, u32 thread,
                                    SumsShared* shared) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  Values sum;
  Values product;
  MILLRACE_UNROLL
  for (u32 k = 0; k < kVector; ++k) sum.of[k] = product.of[k] = 0;
  if (place.works) {
    const Values mean = OfColumn(work.coefficients + kMean * work.grid.channels, place);
    ForRows<1>(
        work.grid, place, /*backwards=*/true, [](u64) { return 0; },
        [&](u64 row, int) {
          ForSquare<Element>(work, place, row, [&](u64, const Values& x, const Values& g) {
            MILLRACE_UNROLL
            for (u32 k = 0; k < kVector; ++k) {
              sum.of[k] += g.of[k];
              product.of[k] = MulAdd(g.of[k], x.of[k] - mean.of[k], product.of[k]);
            }
          });
        });
  }
  PutSums(thread, sum, product, shared);
}

template <typename Element>
MILLRACE_KERNEL void ApplyPoolGradient(const PoolGradientWork& work, u32 part, u32 tile,
                                       u32 thread) {
  const Place place = PlaceOf(work.grid, part, tile, thread);
  if (!place.works) return;
  const u32 channels = work.grid.channels;
  const Values mean = OfColumn(work.coefficients + kMean * channels, place);
  const Values scale = OfColumn(work.coefficients + kScale * channels, place);
  const Values slope = OfColumn(work.gradient_coefficients + kSlope * channels, place);
  const Values offset = OfColumn(work.gradient_coefficients + kOffset * channels, place);
  ForRows<1>(
      work.grid, place, /*backwards=*/false, [](u64) { return 0; },
      [&](u64 row, int) {
        ForSquare<Element>(work, place, row, [&](u64 vector, const Values& x, const Values& g) {
          Values dx;
          MILLRACE_UNROLL
          for (u32 k = 0; k < kVector; ++k) {
            dx.of[k] = MulAdd(slope.of[k], x.of[k] - mean.of[k], offset.of[k]);
            dx.of[k] = MulAdd(scale.of[k], g.of[k], dx.of[k]);
          }
          Write<Element>(work.dx, vector, dx);
        });
      });
}

}  // namespace millrace::model::gpu

#endif  // MILLRACE_MODEL_GPU_KERNELS_NORM_POOL_INL_
