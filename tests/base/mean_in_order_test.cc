#include "base/mean_in_order.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace millrace {
namespace {

template <typename T>
std::vector<std::vector<T>> MakeLists(std::size_t number, std::size_t size) {
  std::mt19937 random(7);
  // Far apart, so that every order of additions has other bits.
  std::normal_distribution<T> numbers(0, 1000);
  std::vector<std::vector<T>> lists(number, std::vector<T>(size));
  for (auto& list : lists) {
    for (T& value : list) value = numbers(random) / numbers(random);
  }
  return lists;
}

template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <typename T>
void ExpectMeans(std::size_t number, std::size_t size, std::size_t begin, std::size_t end,
                 std::size_t offset) {
  const auto before = MakeLists<T>(number, size + offset);
  const T share = T{1} / static_cast<T>(number);
  auto expected = before;
  for (std::size_t i = offset + begin; i < offset + end; ++i) {
    volatile T sum = before[0][i] * share;
    for (std::size_t list = 1; list < number; ++list) {
      const volatile T part = before[list][i] * share;
      sum = sum + part;
    }
    for (auto& list : expected) list[i] = sum;
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, size + 1}) {
    auto got = before;
    std::vector<T*> pointers;
    for (auto& list : got) pointers.push_back(list.data() + offset);
    for (std::size_t at = begin; at < end; at += piece) {
      MeanInOrder<T>(pointers, at, std::min(end, at + piece), share);
    }
    for (std::size_t list = 0; list < number; ++list) {
      EXPECT_TRUE(SameBits(got[list], expected[list]))
          << number << " lists of " << size << ", list " << list << ", piece " << piece;
    }
  }
}

TEST(MeanInOrder, AddsInTheOrderOfTheListsHoweverTheRangeIsSplit) {
  for (const std::size_t number : {1u, 2u, 3u, 4u, 7u}) {
    for (const std::size_t size : {1u, 2u, 17u, 1023u, 1024u, 1025u, 5000u}) {
      for (const std::size_t offset : {0u, 1u}) {
        ExpectMeans<float>(number, size, 0, size, offset);
        ExpectMeans<double>(number, size, size / 3, size - size / 4, offset);
      }
    }
  }
}

TEST(MeanInOrder, EmptyRangeChangesNothing) { ExpectMeans<float>(3, 10, 4, 4, 0); }

}  // namespace
}  // namespace millrace
