#include "base/suggest.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Suggest, NamesTheNearestCandidate) {
  EXPECT_EQ(Suggest("momentun", {"lr", "momentum", "nesterov"}), "; did you mean \"momentum\"?");
  EXPECT_EQ(Suggest("weightdecay", {"weight_decay", "lr"}), "; did you mean \"weight_decay\"?");
  EXPECT_EQ(Suggest("lr_", {"lr"}), "; did you mean \"lr\"?");
}

TEST(Suggest, TakesSwappedNeighboursForOneMistake) {
  EXPECT_EQ(Suggest("sdg", {"sgd"}), "; did you mean \"sgd\"?");
  EXPECT_EQ(Suggest("scael", {"size", "scale"}), "; did you mean \"scale\"?");
  EXPECT_EQ(Suggest("ba", {"ab"}), "; did you mean \"ab\"?");
}

TEST(Suggest, PrefersTheFirstOfEquallyNearOnes) {
  EXPECT_EQ(Suggest("bet", {"beta", "best"}), "; did you mean \"beta\"?");
}

TEST(Suggest, StaysSilentWhenNothingIsNear) {
  EXPECT_EQ(Suggest("optimiser", {"lr", "batch"}), "");
  EXPECT_EQ(Suggest("ab", {"yz"}), "");
}

TEST(Suggest, StaysSilentWithoutCandidates) {
  EXPECT_EQ(Suggest("momentum", {}), "");
  EXPECT_EQ(Suggest("", {}), "");
}

}  // namespace
}  // namespace millrace
