// What it costs the training thread to tell the run log something, with every sink of a run.
//
//   build/release/tests/bench/run_log_bench
//
// Time is the emitting thread's alone: CPU time beside wall time, because the log's own thread
// works at the same time.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/hash.h"
#include "tests/support/temporary_folder.h"
#include "tracking/json_lines.h"
#include "tracking/remote.h"
#include "tracking/run_log.h"
#include "tracking/tensorboard.h"
#include "tracking/text_log.h"

namespace millrace::tracking {
namespace {

// A tracker's server that is away.
class Away final : public RemoteSink {
 public:
  std::string name() const override { return "the server"; }
  Delivery Deliver(std::span<const RemoteEvent>) override {
    return {.outcome = Delivery::Outcome::kTryLater, .reason = "away"};
  }
};

void AddSinks(const test::TemporaryFolder& folder, RunLog& log) {
  log.Add(std::make_unique<TextLog>(folder / "log.txt"));
  log.Add(std::make_unique<JsonLines>(folder / "metrics.jsonl", Scalars::Kind::kResult, 0));
  log.Add(std::make_unique<JsonLines>(folder / "timings.jsonl", Scalars::Kind::kTiming, 0));
  log.Add(std::make_unique<TensorBoard>(folder.path(), ResumePoint{}));
  log.Add(std::make_unique<Remote>(std::make_unique<Away>(), folder / "journal", Remote::Options{},
                                   [](const std::string&) {}));
}

Scalars StepScalars(std::uint64_t step) {
  return {.kind = Scalars::Kind::kResult,
          .group = "train",
          .step = step,
          .epoch = 1,
          .values = {{"loss", 2.5 / static_cast<double>(step + 1)}, {"lr", 0.1}},
          .texts = {{"digest", HashToHex(step)}}};
}

// The iterations are given: far more events a second come here than from any training.
constexpr std::int64_t kEvents = 200'000;

void BM_EmitScalars(benchmark::State& state) {
  const test::TemporaryFolder folder;
  RunLog log;
  AddSinks(folder, log);
  std::uint64_t step = 0;
  for (auto _ : state) log.Emit(StepScalars(++step));
}
BENCHMARK(BM_EmitScalars)->Iterations(kEvents);

void BM_EmitText(benchmark::State& state) {
  const test::TemporaryFolder folder;
  RunLog log;
  AddSinks(folder, log);
  std::uint64_t step = 0;
  for (auto _ : state) log.Text("step {} of {}", ++step, kEvents);
}
BENCHMARK(BM_EmitText)->Iterations(kEvents);

// What the emitting thread would do without the queue.
void BM_ScalarsStraightToTheFile(benchmark::State& state) {
  const test::TemporaryFolder folder;
  JsonLines lines(folder / "metrics.jsonl", Scalars::Kind::kResult, 0);
  std::uint64_t step = 0;
  for (auto _ : state) lines.OnScalars(StepScalars(++step));
}
BENCHMARK(BM_ScalarsStraightToTheFile)->Iterations(kEvents);

// An emission, and the wait until it is in its files: what a checkpoint waits for.
void BM_Flush(benchmark::State& state) {
  const test::TemporaryFolder folder;
  RunLog log;
  AddSinks(folder, log);
  std::uint64_t step = 0;
  for (auto _ : state) {
    log.Emit(StepScalars(++step));
    log.Flush();
  }
}
BENCHMARK(BM_Flush)->UseRealTime();

}  // namespace
}  // namespace millrace::tracking

BENCHMARK_MAIN();
