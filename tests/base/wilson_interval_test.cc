#include "base/wilson_interval.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(WilsonInterval, IsScipysAndStatsmodels) {
  // scipy 1.17.1, scipy.stats.binomtest(hits, trials).proportion_ci(0.95, "wilson"), which
  // statsmodels 0.15.0, proportion_confint(hits, trials, 0.05, "wilson"), gives too but for the
  // last digits.
  struct Known {
    std::int64_t hits;
    std::int64_t trials;
    double low;
    double high;
  };
  for (const Known& known :
       {Known{0, 10, 0.0, 0.27753279986288926}, Known{10, 10, 0.7224672001371109, 1.0},
        Known{1, 10, 0.017876213095072896, 0.4041500267952385},
        Known{4, 9, 0.18877852109766463, 0.733348706504507},
        Known{263, 1000, 0.23665685979107837, 0.2911570237310747},
        Known{38065, 50000, 0.7575434965258424, 0.7650163556310895},
        Known{46500, 50000, 0.9277303868201419, 0.9322035451640935},
        Known{49999, 50000, 0.9998867102986088, 0.9999964695001772}}) {
    const Interval found = WilsonInterval(known.hits, known.trials);
    EXPECT_NEAR(found.low, known.low, 1e-14) << known.hits << " of " << known.trials;
    EXPECT_NEAR(found.high, known.high, 1e-14) << known.hits << " of " << known.trials;
  }
}

TEST(WilsonInterval, HoldsTheRateStaysWithinZeroAndOneAndMirrors) {
  for (std::int64_t trials = 1; trials <= 64; ++trials) {
    for (std::int64_t hits = 0; hits <= trials; ++hits) {
      const Interval found = WilsonInterval(hits, trials);
      const double rate = static_cast<double>(hits) / static_cast<double>(trials);
      EXPECT_LE(0, found.low);
      EXPECT_LE(found.low, rate);
      EXPECT_LE(rate, found.high);
      EXPECT_LE(found.high, 1);
      const Interval mirrored = WilsonInterval(trials - hits, trials);
      EXPECT_NEAR(mirrored.low, 1 - found.high, 1e-15);
    }
  }
}

TEST(WilsonInterval, WithoutTrialsIsEverything) {
  EXPECT_EQ(WilsonInterval(0, 0).low, 0);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

}  // namespace
}  // namespace millrace
