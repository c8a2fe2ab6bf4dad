// Resize, window and flip: the arithmetic of stages/resample_table.cc and resample_scalar.cc
// (Pillow) and of stages/linear_table.cc and linear_scalar.cc (OpenCV).
#ifndef MILLRACE_STAGES_GPU_KERNELS_RESIZE_INL_
#define MILLRACE_STAGES_GPU_KERNELS_RESIZE_INL_

#include "color.inl"
#include "work.inl"

namespace millrace::stages::gpu {

constexpr i32 kCoefficientFraction = 22;  // [bits]
constexpr i32 kLinearFraction = 11;       // [bits]
constexpr i32 kLinearDrop = 4;            // bits that the second pass does not see

// A table of an axis has a row for each of these, with a number for each output: the first source
// pixel, counted from PictureAxis::source, how many there are, and from there on their
// coefficients. Of a linear resize: first and second pixel and their weights.
constexpr u32 kTableFirst = 0;
constexpr u32 kTableTaps = 1;
constexpr u32 kTableCoefficients = 2;

MILLRACE_KERNEL u64 TableSize(const PictureAxis& axis) {
  return static_cast<u64>(axis.count) * (kTableCoefficients + axis.most_taps);
}

// Coefficients of a triangle filter, as wide as what becomes one pixel.
MILLRACE_KERNEL void MakeTaps(const PictureAxis& axis, i32 output, i32* table) {
  const double scale = static_cast<double>(axis.crop) / axis.resized;
  const double width = scale < 1.0 ? 1.0 : scale;
  const double inverse_width = 1.0 / width;
  const double center = (axis.begin + output + 0.5) * scale;
  const i32 from = static_cast<i32>(center - width + 0.5);
  const i32 first = from < 0 ? 0 : from;
  const i32 to = static_cast<i32>(center + width + 0.5);
  const i32 taps = (to < axis.crop ? to : axis.crop) - first;
  const auto weight_of = [&](i32 tap) {
    const double offset = (tap + first - center + 0.5) * inverse_width;
    const double distance = offset < 0.0 ? -offset : offset;
    return distance < 1.0 ? 1.0 - distance : 0.0;
  };
  double sum = 0.0;
  for (i32 tap = 0; tap < taps; ++tap) sum += weight_of(tap);
  table[kTableFirst * static_cast<u32>(axis.count) + static_cast<u32>(output)] =
      first - axis.source;
  table[kTableTaps * static_cast<u32>(axis.count) + static_cast<u32>(output)] = taps;
  i32* coefficient = table + kTableCoefficients * static_cast<u32>(axis.count) + output;
  for (i32 tap = 0; tap < taps; ++tap, coefficient += axis.count) {
    double weight = weight_of(tap);
    if (sum != 0.0) weight /= sum;
    *coefficient = static_cast<i32>(0.5 + weight * (1 << kCoefficientFraction));
  }
}

// Nearest, to even in the middle. REQUIRES: 0 <= value < 2^22
MILLRACE_KERNEL i32 Nearest(float value) {
  // From 2^23 on a float has no fraction.
  constexpr float kWhole = 8388608.0F;
  return static_cast<i32>(value + kWhole - kWhole);
}

// `is_row`: beyond the ends of a row the weight goes to the last pixel.
MILLRACE_KERNEL void MakeLinearTap(const PictureAxis& axis, bool is_row, i32 output, i32* table) {
  constexpr float kOne = 1 << kLinearFraction;
  // The reciprocal of a quotient, as OpenCV computes it.
  const double scale = 1.0 / (static_cast<double>(axis.resized) / axis.crop);
  float share = static_cast<float>((axis.begin + output + 0.5) * scale - 0.5);
  i32 first = static_cast<i32>(share);
  if (static_cast<float>(first) > share) --first;
  share -= static_cast<float>(first);
  const i32 last = axis.crop - 1;
  if (is_row && (first < 0 || first >= last)) {
    share = 0.0F;
    first = Clamp(first, 0, last);
  }
  table += output;
  table[0] = Clamp(first, 0, last) - axis.source;
  table[axis.count] = Clamp(first + 1, 0, last) - axis.source;
  table[2 * axis.count] = Nearest((1.0F - share) * kOne);
  table[3 * axis.count] = Nearest(share * kOne);
}

// A thread an output of an axis: first those of x, then those of y.
MILLRACE_KERNEL void MakeTables(const Work& work, u32 block, u32 thread) {
  const Share share = FindShare(work, Dealt::kTables, block);
  const Picture& picture = work.pictures[share.picture];
  const i32 number = static_cast<i32>(share.first_block * kThreads + thread);
  const bool is_x = number < picture.along_x.count;
  const i32 output = is_x ? number : number - picture.along_x.count;
  const PictureAxis& axis = is_x ? picture.along_x : picture.along_y;
  if (output >= axis.count) return;
  i32* table = work.tables + picture.tables + (is_x ? 0 : TableSize(picture.along_x));
  if (picture.passes == Passes::kLinear) {
    MakeLinearTap(axis, is_x, output, table);
  } else {
    MakeTaps(axis, output, table);
  }
}

// One output of one axis: pixels `step` apart from one another.
MILLRACE_KERNEL u32 Resample(const i32* table, u32 count, u32 output, const u32* source, u32 step) {
  constexpr i32 kHalf = 1 << (kCoefficientFraction - 1);
  const i32 taps = table[kTableTaps * count + output];
  const u32* pixel = source + static_cast<u64>(table[kTableFirst * count + output]) * step;
  const i32* coefficient = table + kTableCoefficients * count + output;
  i32 red = kHalf;
  i32 green = kHalf;
  i32 blue = kHalf;
  for (i32 tap = 0; tap < taps; ++tap, pixel += step, coefficient += count) {
    const u32 rgb = *pixel;
    red += *coefficient * static_cast<i32>(rgb & 0xFF);
    green += *coefficient * static_cast<i32>(rgb >> 8 & 0xFF);
    blue += *coefficient * static_cast<i32>(rgb >> 16);
  }
  return Packed(red >> kCoefficientFraction, green >> kCoefficientFraction,
                blue >> kCoefficientFraction);
}

// The first pass of two, pixel by pixel between them.
MILLRACE_KERNEL void ResizeFirst(const Work& work, u32 block, u32 thread) {
  const Share share = FindShare(work, Dealt::kFirstPass, block);
  const Picture picture = work.pictures[share.picture];
  const u32 source_width = static_cast<u32>(picture.width);
  const bool is_horizontal = picture.passes == Passes::kHorizontalFirst;
  const u32 columns = static_cast<u32>(is_horizontal ? picture.along_x.count : picture.width);
  const u32 rows = static_cast<u32>(is_horizontal ? picture.height : picture.along_y.count);
  const i32* table = work.tables + picture.tables;
  const u32* source = work.rgb + picture.rgb;
  const u32 first = share.first_block * kPixelsTogether;
  const u32 all = columns * rows;
  const u32 end = first + kPixelsTogether < all ? first + kPixelsTogether : all;
  PixelWalk at(first + thread, columns);
  for (u32 pixel = first + thread; pixel < end; pixel += kThreads, at.Next()) {
    const u32 x = at.x();
    const u32 y = at.y();
    work.between[picture.between + pixel] =
        is_horizontal
            ? Resample(table, columns, x, source + static_cast<u64>(y) * source_width, 1)
            : Resample(table + TableSize(picture.along_x), rows, y, source + x, source_width);
  }
}

// A pixel of a linear resize, which rounds its two rows first.
MILLRACE_KERNEL u32 Interpolate(const Work& work, const Picture& picture, u32 x, u32 y) {
  const i32* along_x = work.tables + picture.tables + x;
  const i32* along_y = work.tables + picture.tables + TableSize(picture.along_x) + y;
  const u32* source = work.rgb + picture.rgb;
  const i32 across = picture.along_x.count;
  const i32 down = picture.along_y.count;
  const u32* upper = source + static_cast<u64>(along_y[0]) * static_cast<u32>(picture.width);
  const u32* lower = source + static_cast<u64>(along_y[down]) * static_cast<u32>(picture.width);
  i32 channels[3];
  for (u32 i = 0; i < 3; ++i) {
    const auto row_sum = [&](const u32* row) {
      const i32 left = static_cast<i32>(row[along_x[0]] >> 8 * i & 0xFF);
      const i32 right = static_cast<i32>(row[along_x[across]] >> 8 * i & 0xFF);
      return (left * along_x[2 * across] + right * along_x[3 * across]) >> kLinearDrop;
    };
    const i32 sum =
        (row_sum(upper) * along_y[2 * down] >> 16) + (row_sum(lower) * along_y[3 * down] >> 16);
    channels[i] = (sum + 2) >> 2;
  }
  return Packed(channels[0], channels[1], channels[2]);
}

// A pixel of the window, before flips.
MILLRACE_KERNEL u32 WindowPixel(const Work& work, const Picture& picture, u32 x, u32 y) {
  const u32 columns = static_cast<u32>(picture.along_x.count);
  const u32 rows = static_cast<u32>(picture.along_y.count);
  const u32 source_width = static_cast<u32>(picture.width);
  const i32* table = work.tables + picture.tables;
  const u32* between = work.between + picture.between;
  switch (picture.passes) {
    case Passes::kHorizontalFirst:
      return Resample(table + TableSize(picture.along_x), rows, y, between + x, columns);
    case Passes::kVerticalFirst:
      return Resample(table, columns, x, between + static_cast<u64>(y) * source_width, 1);
    case Passes::kLinear:
      return Interpolate(work, picture, x, y);
    case Passes::kNone:
      break;
  }
  return work.rgb[picture.rgb + static_cast<u64>(y) * source_width + x];
}

// The last pass, or the only one, pixel by pixel of the finished picture.
MILLRACE_KERNEL void ResizeLast(const Work& work, u32 block, u32 thread) {
  const Share share = FindShare(work, Dealt::kLastPass, block);
  const Picture picture = work.pictures[share.picture];
  const u32 all = work.image_bytes / 3;
  const u32 first = share.first_block * kPixelsTogether;
  const u32 end = first + kPixelsTogether < all ? first + kPixelsTogether : all;
  u8* image = work.out + static_cast<u64>(picture.output) * work.image_bytes;
  if (picture.kind == Kind::kPixels) {
    const u8* from = work.bytes + picture.bytes;
    for (u32 byte = 3 * first + thread; byte < 3 * end; byte += kThreads) image[byte] = from[byte];
    return;
  }
  const u32 columns = static_cast<u32>(picture.along_x.count);
  const u32 rows = static_cast<u32>(picture.along_y.count);
  PixelWalk at(first + thread, columns);
  for (u32 pixel = first + thread; pixel < end; pixel += kThreads, at.Next()) {
    const u32 x = at.x();
    const u32 y = at.y();
    const u32 rgb = WindowPixel(work, picture, picture.flip_horizontal != 0 ? columns - 1 - x : x,
                                picture.flip_vertical != 0 ? rows - 1 - y : y);
    u8* out = image + static_cast<u64>(pixel) * 3;
    out[0] = static_cast<u8>(rgb);
    out[1] = static_cast<u8>(rgb >> 8);
    out[2] = static_cast<u8>(rgb >> 16);
  }
}

}  // namespace millrace::stages::gpu

#endif  // MILLRACE_STAGES_GPU_KERNELS_RESIZE_INL_
