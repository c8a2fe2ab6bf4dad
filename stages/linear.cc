#include "stages/linear.h"

#include <algorithm>

#include "stages/image.h"
#include "stages/linear_scalar.h"

// Vectors of unknown size cannot be array elements; processors that have them also have NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stages/linear.cc"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

#include "stages/row_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::stages::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void Rows(const LinearTable& table, const std::uint8_t* const* sources, int rows,
          std::int16_t* const* outputs) {
  LinearRowsScalar(table, sources, rows, outputs);
}

void Columns(const LinearTap& tap, const std::int16_t* first, const std::int16_t* second,
             std::size_t count, std::uint8_t* out) {
  LinearColumnsScalar(tap, first, second, count, out);
}

#else

// 2 pixels of 4 values to 2 of 3.
alignas(16) constexpr std::uint8_t kDropFourthValue[16] = {0,  1,  2,  3,  4,    5,    8,    9,
                                                           10, 11, 12, 13, 0x80, 0x80, 0x80, 0x80};

// One output pixel of each row, in 32 bits. What lies behind the last source pixel has no weight.
HWY_INLINE V32 OnePixel(const LinearTap& tap, const std::uint8_t* const* sources, V8 first_pair) {
  const V8 bytes = LoadBlocks(d8, sources, static_cast<std::size_t>(tap.first) * kChannels);
  PairSum sum(hn::Zero(d32));
  sum.Add(hn::BitCast(d16, hn::TableLookupBytesOr0(bytes, first_pair)),
          Broadcast(tap.first_weight | tap.second_weight << 16));
  return hn::ShiftRight<kLinearDropped>(sum.Total());
}

// As many rows as there are blocks in a vector.
HWY_INLINE void RowsGroup(const LinearTable& table, const std::uint8_t* const* sources,
                          std::uint8_t* const* outputs) {
  const V8 first_pair = hn::LoadDup128(d8, kFirstPair);
  const V8 drop_fourth = hn::LoadDup128(d8, kDropFourthValue);
  for (int output = 0; output < table.padded_outputs(); output += 2) {
    const V16 both = hn::ReorderDemote2To(d16, OnePixel(table.tap(output), sources, first_pair),
                                          OnePixel(table.tap(output + 1), sources, first_pair));
    StoreBlocks(d8, hn::TableLookupBytesOr0(hn::BitCast(d8, both), drop_fourth), outputs,
                static_cast<std::size_t>(output) * kChannels * sizeof(std::int16_t));
  }
}

void Rows(const LinearTable& table, const std::uint8_t* const* sources, int rows,
          std::int16_t* const* outputs) {
  for (int done = 0; done < rows; done += kBlocks) {
    // The last row is made again and again to fill the group.
    const std::uint8_t* group_sources[kBlocks];
    std::uint8_t* group_outputs[kBlocks];
    for (int i = 0; i < kBlocks; ++i) {
      const int row = std::min(done + i, rows - 1);
      group_sources[i] = sources[row];
      group_outputs[i] = reinterpret_cast<std::uint8_t*>(outputs[row]);
    }
    RowsGroup(table, group_sources, group_outputs);
  }
}

HWY_INLINE void ColumnsVector(V16 first_weight, V16 second_weight, const std::int16_t* first,
                              const std::int16_t* second, std::uint8_t* out) {
  const hn::Half<D8> d_out;
  const V16 sum = hn::Add(hn::MulHigh(hn::LoadU(d16, first), first_weight),
                          hn::MulHigh(hn::LoadU(d16, second), second_weight));
  const V16 rounded = hn::ShiftRight<2>(hn::Add(sum, hn::Set(d16, 2)));
  hn::StoreU(hn::DemoteTo(d_out, rounded), d_out, out);
}

void Columns(const LinearTap& tap, const std::int16_t* first, const std::int16_t* second,
             std::size_t count, std::uint8_t* out) {
  constexpr std::size_t kStep = kLanes / 2;
  if (count < kStep) return LinearColumnsScalar(tap, first, second, count, out);
  const V16 first_weight = hn::Set(d16, tap.first_weight);
  const V16 second_weight = hn::Set(d16, tap.second_weight);
  for (std::size_t i = 0; i < count; i += kStep) {
    const std::size_t at = std::min(i, count - kStep);  // at the end some values twice
    ColumnsVector(first_weight, second_weight, first + at, second + at, out + at);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace millrace::stages::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::stages {
namespace {

HWY_EXPORT(Rows);
HWY_EXPORT(Columns);

}  // namespace

void LinearRows(Kernels kernels, const LinearTable& table, const std::uint8_t* const* sources,
                int rows, std::int16_t* const* outputs) {
  if (kernels == Kernels::kScalar) return LinearRowsScalar(table, sources, rows, outputs);
  HWY_DYNAMIC_DISPATCH(Rows)(table, sources, rows, outputs);
}

void LinearColumns(Kernels kernels, const LinearTap& tap, const std::int16_t* first,
                   const std::int16_t* second, std::size_t count, std::uint8_t* out) {
  if (kernels == Kernels::kScalar) return LinearColumnsScalar(tap, first, second, count, out);
  HWY_DYNAMIC_DISPATCH(Columns)(tap, first, second, count, out);
}

}  // namespace millrace::stages
#endif  // HWY_ONCE
