#include "pipeline/stop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace millrace::pipeline {
namespace {

std::exception_ptr Failure(const std::string& text) { return std::make_exception_ptr(Error(text)); }

TEST(Stop, StartsUnsetAndWithoutFailure) {
  const Stop stop;
  EXPECT_FALSE(stop.stopped());
  EXPECT_NO_THROW(stop.Rethrow());
}

TEST(Stop, RequestStopsWithoutBlame) {
  Stop stop;
  stop.Request();
  EXPECT_TRUE(stop.stopped());
  EXPECT_NO_THROW(stop.Rethrow());
}

TEST(Stop, FirstFailureIsKept) {
  Stop stop;
  stop.Fail(Failure("first"));
  stop.Fail(Failure("second"));
  EXPECT_TRUE(stop.stopped());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT([&] { stop.Rethrow(); }, testing::ThrowsMessage<Error>("first"));
  }
}

TEST(Stop, RequestDoesNotHideTheFailureBeforeIt) {
  Stop stop;
  stop.Fail(Failure("first"));
  stop.Request();
  EXPECT_THAT([&] { stop.Rethrow(); }, testing::ThrowsMessage<Error>("first"));
}

TEST(Stop, FailureAfterARequestIsItsConsequence) {
  Stop stop;
  stop.Request();
  stop.Fail(Failure("a lane waited for another one that has stopped"));
  EXPECT_NO_THROW(stop.Rethrow());
}

TEST(Stop, OfManyThreadsOneFailureWins) {
  Stop stop;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&stop, i] { stop.Fail(Failure("failure " + std::to_string(i))); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT([&] { stop.Rethrow(); },
              testing::ThrowsMessage<Error>(testing::StartsWith("failure ")));
}

}  // namespace
}  // namespace millrace::pipeline
