#include "storage/sources/brace_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_text.h"

namespace millrace::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(BracePattern, TextWithoutBracesStandsForItself) {
  EXPECT_THAT(ExpandBraces("a/b.tar"), ElementsAre("a/b.tar"));
}

TEST(BracePattern, NumbersKeepTheirWidth) {
  EXPECT_THAT(ExpandBraces("t-{008..011}.tar"),
              ElementsAre("t-008.tar", "t-009.tar", "t-010.tar", "t-011.tar"));
  EXPECT_THAT(ExpandBraces("{8..11}"), ElementsAre("8", "9", "10", "11"));
  EXPECT_THAT(ExpandBraces("{0..2}"), ElementsAre("0", "1", "2"));
}

TEST(BracePattern, SeveralBracesMultiplyInTheShellsOrder) {
  EXPECT_THAT(ExpandBraces("{b,a}-{0..1}.tar"),
              ElementsAre("b-0.tar", "b-1.tar", "a-0.tar", "a-1.tar"));
}

TEST(BracePattern, WhatIsNoPatternIsNamed) {
  for (const char* pattern :
       {"a{0..3.tar", "a}0..3{.tar", "a{}.tar", "a{5..3}.tar", "a{x..z}.tar", "a{1}.tar",
        "{a,{b,c}}", "a{0..99999999999}.tar", "{0..100000}", "{a,b}}"}) {
    EXPECT_THAT(test::UsageErrorOf([&] { ExpandBraces(pattern); }),
                HasSubstr("is no pattern of names; it is expected as \"train-{000..127}.tar\""))
        << pattern;
  }
  EXPECT_EQ(test::UsageErrorOf([] { ExpandBraces("{0..999}{0..999}"); }),
            "\"{0..999}{0..999}\" stands for more than 100000 names");
}

}  // namespace
}  // namespace millrace::storage
