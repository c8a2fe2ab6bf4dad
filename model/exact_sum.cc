#include "model/exact_sum.h"

#include <cmath>
#include <limits>

namespace millrace::model {
namespace {

constexpr double kUnitsPerOne = 0x1p32;
constexpr double kLargestTerm = 0x1p20;

}  // namespace

void ExactSum::Add(double term) {
  if (std::abs(term) <= kLargestTerm) {
    Merge({.units = std::llround(term * kUnitsPerOne)});
  } else {
    ++impossible;
  }
}

void ExactSum::Merge(const ExactSum& other) {
  if (__builtin_add_overflow(units, other.units, &units)) ++impossible;
  impossible += other.impossible;
}

double ExactSum::Value() const {
  if (impossible > 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(units) / kUnitsPerOne;
}

}  // namespace millrace::model
