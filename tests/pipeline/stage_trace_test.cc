#include "pipeline/stage_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace millrace::pipeline {
namespace {

StageCall Measure(Stage stage, const auto& body) {
  StageCall call{.stage = stage};
  const StageTrace::Watch watch;
  body();
  watch.End(&call);
  return call;
}

TEST(StageTrace, WatchMeasuresTimeOfTheCall) {
  const std::int64_t before_ns = NowNs();
  const StageCall call =
      Measure(Stage::kRead, [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  EXPECT_GE(call.begin_ns, before_ns);
  EXPECT_GE(call.end_ns - call.begin_ns, 20'000'000);
  EXPECT_LE(call.end_ns, NowNs());
}

TEST(StageTrace, ProcessorTimeIsThatOfWorkNotOfSleep) {
  const StageCall asleep =
      Measure(Stage::kRead, [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); });
  const StageCall awake = Measure(Stage::kDecode, [] {
    const std::int64_t end_ns = NowNs() + 200'000'000;
    while (NowNs() < end_ns) continue;
  });
  EXPECT_LT(asleep.processor_ns, 50'000'000);
  EXPECT_GT(awake.processor_ns, 2 * std::max<std::int64_t>(asleep.processor_ns, 1));
  EXPECT_LE(awake.processor_ns, awake.end_ns - awake.begin_ns + 20'000'000);
}

TEST(StageTrace, PageThatIsTouchedForTheFirstTimeIsAMinorFault) {
  constexpr std::size_t kPages = 64;
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const memory = ::mmap(nullptr, kPages * page_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(::madvise(memory, kPages * page_bytes, MADV_NOHUGEPAGE), 0);
  auto* const bytes = static_cast<volatile char*>(memory);
  const StageCall first = Measure(Stage::kRead, [&] {
    for (std::size_t page = 0; page < kPages; ++page) bytes[page * page_bytes] = 1;
  });
  const StageCall second = Measure(Stage::kRead, [&] {
    for (std::size_t page = 0; page < kPages; ++page) bytes[page * page_bytes] = 2;
  });
  ::munmap(memory, kPages * page_bytes);
  EXPECT_GE(first.minor_faults, kPages);
  EXPECT_LT(second.minor_faults, kPages / 2);
}

TEST(StageTrace, CallsOfAllThreadsComeInTheOrderOfTheirEnds) {
  constexpr std::uint32_t kThreads = 4;
  constexpr std::uint64_t kCalls = 500;
  StageTrace trace;
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&trace, t] {
      for (std::uint64_t i = 0; i < kCalls; ++i) {
        StageCall call = Measure(Stage::kRead, [] {});
        call.batch = i;
        call.sample = t;
        trace.Add(call);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto calls = trace.Calls();
  ASSERT_EQ(calls.size(), kThreads * kCalls);
  EXPECT_TRUE(
      std::is_sorted(calls.begin(), calls.end(),
                     [](const StageCall& a, const StageCall& b) { return a.end_ns < b.end_ns; }));
  EXPECT_EQ(trace.dropped(), 0u);
  std::set<std::pair<std::uint32_t, std::uint32_t>> numbers;  // thread, which of the loops
  for (const StageCall& call : calls) numbers.emplace(call.thread, call.sample);
  EXPECT_EQ(numbers.size(), kThreads);
  for (const auto& [thread, loop] : numbers) EXPECT_LT(thread, kThreads);
}

TEST(StageTrace, CallsBeyondTheBoundAreCountedAndDropped) {
  StageTrace trace(/*most_calls=*/10);
  for (int i = 0; i < 25; ++i) trace.Add({.batch = static_cast<std::uint64_t>(i), .end_ns = i});
  const auto calls = trace.Calls();
  ASSERT_EQ(calls.size(), 10u);
  EXPECT_EQ(calls.back().batch, 9u);
  EXPECT_EQ(trace.dropped(), 15u);
}

}  // namespace
}  // namespace millrace::pipeline
