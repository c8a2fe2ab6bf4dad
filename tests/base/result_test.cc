#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace millrace {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return MakeFault("{} is odd", value);
  return value / 2;
}

TEST(Result, HoldsTheValueOfASuccess) {
  const Result<int> half = Half(10);
  ASSERT_TRUE(half.ok());
  EXPECT_TRUE(half);
  EXPECT_EQ(half.value(), 5);
  EXPECT_EQ(*half, 5);
}

TEST(Result, HoldsTheTextOfAFault) {
  const Result<int> half = Half(7);
  ASSERT_FALSE(half.ok());
  EXPECT_FALSE(half);
  EXPECT_EQ(half.fault().message, "7 is odd");
}

TEST(Result, HandsOverValuesThatOnlyMove) {
  Result<std::unique_ptr<int>> owner(std::make_unique<int>(3));
  const std::unique_ptr<int> taken = std::move(owner).value();
  EXPECT_EQ(*taken, 3);
}

TEST(Result, ArrowReachesTheMembersOfTheValue) {
  Result<std::string> text(std::string("abc"));
  text->push_back('d');
  EXPECT_EQ(text->size(), 4u);
}

TEST(Outcome, OkIsASuccess) {
  EXPECT_TRUE(Ok().ok());
  EXPECT_FALSE(Outcome(MakeFault("cut short")).ok());
}

TEST(ResultDeathTest, AskingAFaultForItsValueAborts) {
  const Result<int> half = Half(7);
  EXPECT_DEATH(half.value(), "result\\.h:[0-9]+: check failed: ok\\(\\)");
}

TEST(ResultDeathTest, AskingASuccessForItsFaultAborts) {
  const Result<int> half = Half(8);
  EXPECT_DEATH(half.fault(), "result\\.h:[0-9]+: check failed: !ok\\(\\)");
}

}  // namespace
}  // namespace millrace
