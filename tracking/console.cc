#include "tracking/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/format.h"

namespace millrace::tracking {
namespace {

constexpr std::int64_t kRedrawNs = 100'000'000;        // ten times a second
constexpr std::int64_t kPlainLineNs = 10'000'000'000;  // every ten seconds
constexpr std::size_t kBarCells = 24;                  // of the bar at its longest
constexpr std::size_t kLeastBarCells = 8;              // a shorter one says nothing

int TerminalColumns(std::FILE* stream) {
  winsize size{};
  return ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

ProgressLine::ProgressLine(std::FILE* stream)
    : stream_(stream), terminal_(::isatty(::fileno(stream)) == 1) {}

ProgressLine::~ProgressLine() {
  if (drawn_) std::fputc('\n', stream_);
}

std::string ProgressLine::Describe(const Progress& progress, double seconds,
                                   std::size_t columns) const {
  const double share =
      progress.total > 0 ? static_cast<double>(progress.done) / static_cast<double>(progress.total)
                         : 0;
  std::string text;
  if (progress.total > 0) text += fmt::format("{:3.0f}%  ", share * 100);
  if (progress.unit == "bytes") {
    text += FormatBytes(progress.done);
    if (progress.total > 0) text += " of " + FormatBytes(progress.total);
  } else {
    text += FormatCount(progress.done);
    if (progress.total > 0) text += "/" + FormatCount(progress.total);
    text += " " + progress.unit;
  }
  const std::uint64_t worked = progress.done - std::min(begin_done_, progress.done);
  double left = progress.seconds_left;
  if (left < 0 && worked > 0 && seconds > 0 && progress.total > progress.done) {
    left =
        seconds / static_cast<double>(worked) * static_cast<double>(progress.total - progress.done);
  }
  if (progress.total > 0 && progress.done == progress.total) {
    text += "  in " + FormatDuration(seconds);
  } else if (left >= 0) {
    text += "  ETA " + FormatDuration(left);
  }
  if (!progress.detail.empty()) text += "  " + progress.detail;

  // The bar takes what room the words leave; its frame and the spaces around need some, too.
  const std::size_t others = progress.label.size() + 2 + text.size() + 3;
  const std::size_t cells =
      std::min(kBarCells, columns > others ? columns - others : std::size_t{0});
  if (progress.total == 0 || cells < kLeastBarCells) return progress.label + "  " + text;
  const std::size_t full =
      std::min(cells, static_cast<std::size_t>(share * static_cast<double>(cells)));
  return progress.label + "  [" + std::string(full, '=') + std::string(cells - full, ' ') + "] " +
         text;
}

void ProgressLine::Erase() {
  if (drawn_) std::fputs("\r\x1b[K", stream_);
  drawn_ = false;
}

void ProgressLine::Update(const Progress& progress) {
  const std::int64_t now_ns = NowNs();
  const bool begins = progress.label != label_;
  if (begins) {
    label_ = progress.label;
    begin_ns_ = now_ns;
    begin_done_ = progress.done;
  }
  const bool ends = progress.total > 0 && progress.done >= progress.total;
  const std::int64_t pause_ns = terminal_ ? kRedrawNs : kPlainLineNs;
  if (!begins && !ends && now_ns - shown_ns_ < pause_ns) return;
  shown_ns_ = now_ns;
  const double seconds = NsToSeconds(now_ns - begin_ns_);
  if (!terminal_) {
    std::fputs((Describe(progress, seconds, 0) + "\n").c_str(), stream_);
    return;
  }
  Erase();
  // The last column stays free: some terminals wrap as soon as it is taken.
  const auto columns = static_cast<std::size_t>(TerminalColumns(stream_)) - 1;
  std::string text = Describe(progress, seconds, columns);
  if (text.size() > columns) text.resize(columns);
  std::fputs(text.c_str(), stream_);
  if (ends) {
    std::fputc('\n', stream_);
  } else {
    drawn_ = true;
  }
  std::fflush(stream_);
}

void ProgressLine::Print(const std::string& line) {
  Erase();
  std::fputs((line + "\n").c_str(), stream_);
  std::fflush(stream_);
}

Console::Console() : line_(stderr) {}

void Console::OnScalars(const Scalars& scalars) {
  if (scalars.kind != Scalars::Kind::kResult || scalars.group == "train") return;
  if (scalars.values.empty()) return;  // digests are for metrics.jsonl
  std::string text = fmt::format("{} after epoch {}, step {}:", scalars.group, scalars.epoch,
                                 FormatCount(scalars.step));
  for (const auto& [name, value] : scalars.values) text += fmt::format("  {} {:.6g}", name, value);
  line_.Print(text);
}

void Console::OnProgress(const Progress& progress) { line_.Update(progress); }

void Console::OnText(const std::string& line) { line_.Print(line); }

}  // namespace millrace::tracking
