// Means over several lists of numbers whose bits follow from the numbers and their order alone.
#pragma once

#include <cstddef>
#include <span>

namespace millrace {

// Overwrites element i of every list, for all i in [begin, end), with the sum of the lists'
// elements i, each times `share`, added in the order of the lists. How a range is split up into
// calls makes no difference. REQUIRES: at least one list; they do not overlap
template <typename T>
void MeanInOrder(std::span<T* const> lists, std::size_t begin, std::size_t end, T share);

extern template void MeanInOrder<float>(std::span<float* const>, std::size_t, std::size_t, float);
extern template void MeanInOrder<double>(std::span<double* const>, std::size_t, std::size_t,
                                         double);

}  // namespace millrace
