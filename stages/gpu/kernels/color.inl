// From planes of samples to RGB, pixel by pixel of the crop: the arithmetic of
// stages/region/color_scalar.cc (libjpeg's jdsample.c and jdcolor.c).
#ifndef MILLRACE_STAGES_GPU_KERNELS_COLOR_INL_
#define MILLRACE_STAGES_GPU_KERNELS_COLOR_INL_

#include "work.inl"

namespace millrace::stages::gpu {

// A kept sample of the picture's plane.
MILLRACE_KERNEL i32 KeptSampleAt(const Work& work, const PicturePlane& plane, i32 x, i32 y) {
  const u32 row_samples = plane.columns * kSide;
  return (
      work.samples +
      plane.samples)[static_cast<u32>(y - plane.y) * row_samples + static_cast<u32>(x - plane.x)];
}

// The outermost ones stand beyond its edges, too.
MILLRACE_KERNEL i32 SampleAt(const Work& work, const PicturePlane& plane, i32 x, i32 y) {
  return KeptSampleAt(work, plane, Clamp(x, 0, plane.width - 1), Clamp(y, 0, plane.height - 1));
}

// Chroma at a pixel, between its samples where there are fewer ("fancy upsampling").
MILLRACE_KERNEL i32 ChromaAt(const Work& work, const PicturePlane& plane, ChromaSampling sampling,
                             i32 x, i32 y) {
  const i32 near_x = x / 2;
  const i32 near_y = y / 2;
  const i32 far_x = x % 2 == 0 ? near_x - 1 : near_x + 1;
  const i32 far_y = y % 2 == 0 ? near_y - 1 : near_y + 1;
  switch (sampling) {
    case ChromaSampling::k444:
      return KeptSampleAt(work, plane, x, y);
    case ChromaSampling::k440:
      return (3 * SampleAt(work, plane, x, near_y) + SampleAt(work, plane, x, far_y) + 1 + y % 2) >>
             2;
    case ChromaSampling::k422:
      return (3 * SampleAt(work, plane, near_x, y) + SampleAt(work, plane, far_x, y) + 1 + x % 2) >>
             2;
    case ChromaSampling::k420:
      break;
  }
  const i32 near_sum =
      3 * SampleAt(work, plane, near_x, near_y) + SampleAt(work, plane, near_x, far_y);
  const i32 far_sum =
      3 * SampleAt(work, plane, far_x, near_y) + SampleAt(work, plane, far_x, far_y);
  return (3 * near_sum + far_sum + 8 - x % 2) >> 4;
}

// What 16 bits of fraction make of two weighted numbers.
MILLRACE_KERNEL i32 Weighted(i32 a, i32 weight_a, i32 b, i32 weight_b) {
  return (a * weight_a + b * weight_b + 32768) >> 16;
}

MILLRACE_KERNEL u32 Packed(i32 red, i32 green, i32 blue) {
  return static_cast<u32>(Clamp(red, 0, 255) | Clamp(green, 0, 255) << 8 |
                          Clamp(blue, 0, 255) << 16);
}

// Each thread makes every kThreads'th pixel of its block's.
MILLRACE_KERNEL void ConvertPixels(const Work& work, u32 block, u32 thread) {
  const Share share = FindShare(work, Dealt::kColor, block);
  // A copy: for all that the compiler knows, what is written could be the picture.
  const Picture picture = work.pictures[share.picture];
  const u32 width = static_cast<u32>(picture.width);
  const u32 all = width * static_cast<u32>(picture.height);
  const u32 first = share.first_block * kPixelsTogether;
  const u32 end = first + kPixelsTogether < all ? first + kPixelsTogether : all;
  // Chroma in the middle leaves grey.
  const bool is_grey = picture.planes == 1;
  PixelWalk at(first + thread, width);
  for (u32 pixel = first + thread; pixel < end; pixel += kThreads, at.Next()) {
    const i32 x = picture.x + static_cast<i32>(at.x());
    const i32 y = picture.y + static_cast<i32>(at.y());
    const i32 luma = KeptSampleAt(work, picture.plane[0], x, y);
    const i32 cb = is_grey ? 0 : ChromaAt(work, picture.plane[1], picture.sampling, x, y) - 128;
    const i32 cr = is_grey ? 0 : ChromaAt(work, picture.plane[2], picture.sampling, x, y) - 128;
    work.rgb[picture.rgb + pixel] = Packed(luma + cr + Weighted(cr, 91881 - 65536, 0, 0),
                                           luma - cr + Weighted(cb, -22554, cr, 65536 - 46802),
                                           luma + 2 * cb + Weighted(cb, 116130 - 131072, 0, 0));
  }
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_COLOR_INL_
