#include "pipeline/lane_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace millrace::pipeline {
namespace {

void IgnoreWait(std::int64_t) {}

TEST(LaneThread, RunsJobsInOrderOnOneOtherThread) {
  std::vector<int> order;
  std::vector<std::thread::id> ids;
  {
    LaneThread thread(IgnoreWait);
    for (int i = 0; i < 1000; ++i) {
      thread.Add([&, i] {
        order.push_back(i);
        ids.push_back(std::this_thread::get_id());
      });
    }
  }
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  EXPECT_THAT(ids, testing::Each(ids.front()));
  EXPECT_NE(ids.front(), std::this_thread::get_id());
}

TEST(LaneThread, DestructorRunsWhatIsQueued) {
  std::promise<void> release;
  std::atomic<int> done{0};
  std::thread opener;
  {
    LaneThread thread(IgnoreWait);
    thread.Add([gate = release.get_future().share()] { gate.wait(); });
    for (int i = 0; i < 50; ++i) thread.Add([&] { ++done; });
    // The destructor is entered while nothing of this has run.
    opener = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      release.set_value();
    });
  }
  opener.join();
  EXPECT_EQ(done, 50);
}

TEST(LaneThread, TimeInWhichTheDeviceIsBusyIsNoWaiting) {
  std::atomic<std::int64_t> waited_ns{0};
  std::atomic<int> asked{0};
  {
    std::promise<void> ran;
    LaneThread thread([&](std::int64_t ns) { waited_ns += ns; },
                      [&] {
                        ++asked;
                        return true;
                      });
    while (asked < 3) std::this_thread::yield();
    thread.Add([&] { ran.set_value(); });
    ran.get_future().wait();
  }
  EXPECT_EQ(waited_ns, 0);
}

TEST(LaneThread, WaitingBeginsWhenTheDeviceHasNothingToDo) {
  std::atomic<std::int64_t> waited_ns{0};
  std::atomic<int> asked{0};
  {
    std::promise<void> ran;
    LaneThread thread([&](std::int64_t ns) { waited_ns += ns; }, [&] { return ++asked < 3; });
    while (asked < 3) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    thread.Add([&] { ran.set_value(); });
    ran.get_future().wait();
  }
  EXPECT_GT(waited_ns, 0);
  EXPECT_GE(asked, 3);
}

TEST(LaneThread, JobsMayAddJobs) {
  std::vector<int> order;
  {
    LaneThread thread(IgnoreWait);
    thread.Add([&] {
      order.push_back(0);
      thread.Add([&] { order.push_back(2); });
    });
    thread.Add([&] { order.push_back(1); });
    std::promise<void> idle;
    thread.Add([&] { thread.Add([&] { idle.set_value(); }); });
    idle.get_future().wait();
  }
  EXPECT_EQ(order.size(), 3u);
  EXPECT_THAT(order, testing::UnorderedElementsAre(0, 1, 2));
  EXPECT_EQ(order.front(), 0);
}

TEST(LaneThread, JobsGoBeforeStepsUntilTwoStepsWait) {
  std::vector<std::string> order;
  {
    LaneThread thread(IgnoreWait);
    std::promise<void> release;
    thread.Add([gate = release.get_future().share()] { gate.wait(); });
    for (int i = 0; i < 5; ++i) {
      thread.Add([&, i] {
        order.push_back("copy " + std::to_string(i));
        thread.AddStep([&, i] { order.push_back("step " + std::to_string(i)); });
      });
    }
    release.set_value();
  }
  EXPECT_THAT(order, testing::ElementsAre("copy 0", "copy 1", "step 0", "copy 2", "step 1",
                                          "copy 3", "step 2", "copy 4", "step 3", "step 4"));
}

TEST(LaneThread, JobThatComesDuringAStepRunsBeforeTheNextOne) {
  std::vector<std::string> order;
  {
    LaneThread thread(IgnoreWait);
    std::promise<void> begun;
    std::promise<void> release;
    thread.AddStep([&, gate = release.get_future().share()] {
      begun.set_value();
      gate.wait();
      order.push_back("step 0");
    });
    begun.get_future().wait();
    thread.AddStep([&] { order.push_back("step 1"); });
    thread.Add([&] { order.push_back("copy 2"); });
    release.set_value();
  }
  EXPECT_THAT(order, testing::ElementsAre("step 0", "copy 2", "step 1"));
}

TEST(LaneThread, JobsOfManyThreadsAllRun) {
  int count = 0;  // only the lane's thread touches it
  {
    LaneThread lane(IgnoreWait);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) lane.Add([&] { ++count; });
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(count, 2000);
}

TEST(LaneThread, TimeWithNothingToDoIsReportedBeforeTheJobThatEndsIt) {
  constexpr std::int64_t kWanted = 2'000'000;  // [ns]
  std::vector<std::int64_t> waits;  // written by the lane's thread, read when it waits for a job
  LaneThread thread([&](std::int64_t ns) { waits.push_back(ns); });
  std::int64_t longest = 0;
  // A busy machine may start the lane's thread late; some round leaves it waiting long enough.
  while (longest < kWanted) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(2 * kWanted));
    std::promise<std::int64_t> seen;
    thread.Add([&] { seen.set_value(waits.empty() ? 0 : waits.back()); });
    longest = seen.get_future().get();
  }
  EXPECT_THAT(waits, testing::Each(testing::Gt(0)));
}

TEST(LaneThread, NoWaitIsReportedWhileThereIsWork) {
  std::atomic<int> waits{0};
  std::promise<void> release;
  std::promise<void> entered;
  {
    LaneThread thread([&](std::int64_t) { ++waits; });
    thread.Add([&] {
      entered.set_value();
      release.get_future().wait();
    });
    entered.get_future().wait();
    waits = 0;
    for (int i = 0; i < 20; ++i) thread.Add([] {});
    release.set_value();
  }
  EXPECT_EQ(waits, 0);
}

}  // namespace
}  // namespace millrace::pipeline
