#include "base/error.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

TEST(Error, FailFormatsTheTextAndBlamesTheRun) {
  try {
    Fail("shard {} has {} bytes", "train-00000", 3);
    FAIL() << "Fail returned";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "shard train-00000 has 3 bytes");
    EXPECT_EQ(error.exit_code(), ExitCode::kFailed);
  }
}

TEST(Error, FailUsageBlamesTheCommandLine) {
  try {
    FailUsage("--jobs is {}; it must be at least 1", 0);
    FAIL() << "FailUsage returned";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "--jobs is 0; it must be at least 1");
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
  }
}

TEST(Error, WithinPutsTheContextInFrontAndKeepsTheExitCode) {
  const Error inner("unknown key", ExitCode::kUsage);
  const Error outer = inner.Within("recipe.toml");
  EXPECT_STREQ(outer.what(), "recipe.toml: unknown key");
  EXPECT_EQ(outer.exit_code(), ExitCode::kUsage);
}

TEST(Error, ExitCodesAreThoseOfTheContract) {
  EXPECT_EQ(static_cast<int>(ExitCode::kDone), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::kFailed), 1);
  EXPECT_EQ(static_cast<int>(ExitCode::kUsage), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::kInterrupted), 3);
}

}  // namespace
}  // namespace millrace
