#include "base/mean_in_order.h"

#include <algorithm>
#include <cstring>

namespace millrace {
namespace {

// Of numbers that are added up before they are written: they stay in the nearest cache.
constexpr std::size_t kBlock = 1024;

template <typename T>
void SetTimes(T* __restrict to, const T* __restrict from, T share, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] = from[i] * share;
}

template <typename T>
void AddTimes(T* __restrict to, const T* __restrict from, T share, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] += from[i] * share;
}

}  // namespace

template <typename T>
void MeanInOrder(std::span<T* const> lists, std::size_t begin, std::size_t end, T share) {
  T sum[kBlock];
  for (std::size_t at = begin; at < end; at += kBlock) {
    const std::size_t size = std::min(kBlock, end - at);
    SetTimes(sum, lists[0] + at, share, size);
    for (const T* const list : lists.subspan(1)) AddTimes(sum, list + at, share, size);
    for (T* const list : lists) std::memcpy(list + at, sum, size * sizeof(T));
  }
}

template void MeanInOrder<float>(std::span<float* const>, std::size_t, std::size_t, float);
template void MeanInOrder<double>(std::span<double* const>, std::size_t, std::size_t, double);

}  // namespace millrace
