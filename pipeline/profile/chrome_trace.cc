#include "pipeline/profile/chrome_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/file.h"
#include "pipeline/profile/thread_names.h"

namespace millrace::pipeline {
namespace {

// Text is written to the file in pieces of about this size.
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

// Microseconds since the beginning of the trace, as the format wants them.
double Microseconds(std::int64_t ns, std::int64_t origin_ns) {
  return static_cast<double>(ns - origin_ns) * 1e-3;
}

class TraceFile {
 public:
  TraceFile(const std::filesystem::path& path, std::int64_t origin_ns)
      : file_(path), origin_ns_(origin_ns) {
    Event(R"({"ph":"M","pid":1,"tid":0,"name":"process_name","args":{"name":"millrace"}})");
  }

  void Thread(const NamedThread& thread, std::size_t place) {
    Event(
        fmt::format(R"({{"ph":"M","pid":1,"tid":{},"name":"thread_name","args":{{"name":"{}"}}}})",
                    thread.number + 1, thread.name));
    Event(fmt::format(
        R"({{"ph":"M","pid":1,"tid":{},"name":"thread_sort_index","args":{{"sort_index":{}}}}})",
        thread.number + 1, place));
  }

  void Call(const StageCall& call) {
    std::string args = fmt::format(R"("batch":{},"slot":{})", call.batch, call.slot);
    if (call.sample != StageCall::kWholeBatch) args += fmt::format(R"(,"sample":{})", call.sample);
    if (call.bytes > 0) args += fmt::format(R"(,"bytes":{})", call.bytes);
    if (call.minor_faults > 0) args += fmt::format(R"(,"minor_faults":{})", call.minor_faults);
    if (call.major_faults > 0) args += fmt::format(R"(,"major_faults":{})", call.major_faults);
    Event(fmt::format(
        R"({{"ph":"X","pid":1,"tid":{},"ts":{:.3f},"dur":{:.3f},"name":"{}","args":{{{}}}}})",
        call.thread + 1, Microseconds(call.begin_ns, origin_ns_),
        static_cast<double>(call.end_ns - call.begin_ns) * 1e-3, StageName(call.stage), args));
  }

  void Count(std::string_view name, std::int64_t at_ns, int count) {
    Event(fmt::format(R"({{"ph":"C","pid":1,"ts":{:.3f},"name":"{}","args":{{"count":{}}}}})",
                      Microseconds(at_ns, origin_ns_), name, count));
  }

  void Finish() {
    text_ += "\n]}\n";
    file_.Write(text_);
    file_.Commit();
  }

 private:
  void Event(std::string_view event) {
    if (std::exchange(any_, true)) text_ += ",\n";
    text_ += event;
    if (text_.size() < kPieceBytes) return;
    file_.Write(text_);
    text_.clear();
  }

  AtomicFile file_;
  const std::int64_t origin_ns_;
  std::string text_ = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  bool any_ = false;
};

}  // namespace

void WriteChromeTrace(const std::filesystem::path& path, const std::vector<StageCall>& calls,
                      Span span, std::size_t most_calls) {
  std::vector<const StageCall*> shown;
  for (const StageCall& call : calls) {
    if (call.end_ns > span.begin_ns && call.begin_ns < span.end_ns) shown.push_back(&call);
    if (shown.size() == most_calls) break;
  }
  const std::int64_t end_ns = shown.empty() ? span.begin_ns : shown.back()->end_ns;
  TraceFile file(path, span.begin_ns);
  const auto threads = NameThreads(calls);
  for (std::size_t i = 0; i < threads.size(); ++i) file.Thread(threads[i], i);
  for (const StageCall* call : shown) file.Call(*call);
  const auto counter = [&](std::string_view name, const std::vector<CountFrom>& counts) {
    for (const CountFrom& count : counts) {
      if (count.from_ns >= span.begin_ns && count.from_ns <= end_ns) {
        file.Count(name, count.from_ns, count.count);
      }
    }
  };
  counter("batches in flight", CountBatchesInFlight(calls));
  counter("batches ready", CountReadyBatches(calls));
  counter("samples waiting", CountSamplesWaiting(calls));
  file.Finish();
}

}  // namespace millrace::pipeline
