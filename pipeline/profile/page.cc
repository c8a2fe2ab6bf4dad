#include "pipeline/profile/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "base/build_info.h"
#include "base/format.h"
#include "pipeline/html.h"
#include "pipeline/profile/thread_names.h"

namespace millrace::pipeline {
namespace {

constexpr std::uint64_t kShownSteps = 6;   // of the time line at most
constexpr std::size_t kShownCalls = 4000;  // the same; a browser draws them at once
constexpr double kTimelineUnits = 10'000;  // width of the time line's drawing

// Of stages in flow order; after Okabe and Ito, "Color universal design" (2008), which the color
// blind can tell apart.
constexpr std::array<std::string_view, kNumStages> kColors = {
    "#cc79a7", "#009e73", "#0072b2", "#56b4e9", "#999999", "#bbbbbb", "#e69f00", "#d55e00"};

std::string_view ColorOf(Stage stage) { return kColors[static_cast<std::size_t>(stage)]; }

std::string RateCard(std::string_view name, const Measurement& measured) {
  return HtmlCard(name, fmt::format("{} images/s", FormatCount(static_cast<std::uint64_t>(
                                                       std::llround(measured.use.images_per_s)))));
}

std::string Cards(const ProfileReport& report) {
  const Measurements& measured = report.measured;
  std::string html = "<dl class=\"cards\">\n";
  if (measured.whole) html += RateCard("with the train step", *measured.whole);
  html += RateCard("feed alone", measured.feed);
  if (measured.lanes) html += RateCard("train step alone", *measured.lanes);
  if (const auto share = report.device_utilisation()) {
    html += HtmlCard(
        report.step == ProfiledStep::kEmulated ? "accelerator utilisation" : "devices busy",
        fmt::format("{:.1f} %", 100 * *share));
  }
  html += HtmlCard("workers busy", fmt::format("{:.0f} %", 100 * measured.main().use.workers_busy));
  const ResidentMemory& memory = measured.main().memory;
  html += HtmlCard("memory", FormatBytes(memory.beyond_page_cache()));
  html += HtmlCard("mapped files", FormatBytes(memory.files));
  const stages::DecodeCounts& decoded = report.decoded;
  const std::uint64_t all = decoded.gpu + decoded.region + decoded.libjpeg_turbo + decoded.libpng;
  if (decoded.gpu != 0) {
    html += HtmlCard("decoded on the GPU",
                     fmt::format("{} of {}", FormatCount(decoded.gpu), FormatCount(all)));
  }
  html += HtmlCard("decoded by the region decoder",
                   fmt::format("{} of {}", FormatCount(decoded.region), FormatCount(all)));
  return html + "</dl>\n";
}

std::string StageTable(const GraphUse& use) {
  double most = 0;
  for (const StageUse& stage : use.stages) most = std::max(most, stage.busy_cores);
  std::string html =
      "<table class=\"wide\"><thead><tr><th>stage</th><th>threads in it</th><th class=\"n\">of "
      "them "
      "on a core</th><th class=\"n\">calls</th><th class=\"n\">mean ms</th><th class=\"n\">p50</th>"
      "<th class=\"n\">p90</th><th class=\"n\">p99</th><th class=\"n\">queued ms</th>"
      "<th class=\"n\">output</th><th class=\"n\">page faults</th><th class=\"n\">from disk</th>"
      "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < kNumStages; ++i) {
    const StageUse& stage = use.stages[i];
    if (stage.calls == 0) continue;
    const auto bytes_per_s =
        static_cast<std::uint64_t>(static_cast<double>(stage.bytes) / use.span.seconds());
    html += fmt::format(
        "<tr><td>{}</td><td class=\"bar narrow\"><div><i style=\"width:{:.1f}%;background:{}\"></i>"
        "<span>{:.2f}</span></div></td>",
        StageName(static_cast<Stage>(i)), most > 0 ? 75 * stage.busy_cores / most : 0, kColors[i],
        stage.busy_cores);
    html += fmt::format(R"(<td class="n">{:.2f}</td><td class="n">{}</td>)", stage.processor_cores,
                        FormatCount(stage.calls));
    for (const double ms :
         {stage.mean_ms, stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.queued_ms}) {
      html += fmt::format("<td class=\"n\">{:.3f}</td>", ms);
    }
    html +=
        fmt::format("<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
                    stage.bytes > 0 ? FormatBytes(bytes_per_s) + "/s" : "",
                    FormatCount(stage.minor_faults), FormatCount(stage.major_faults));
  }
  return html + "</tbody></table>\n";
}

// The first train steps of the span, as far as they are not too much to draw.
Span ShownSpan(const Measurement& measured) {
  Span span{measured.use.span.begin_ns, measured.use.span.begin_ns};
  std::size_t calls = 0;
  std::uint64_t steps = 0;
  for (const StageCall& call : measured.calls) {
    if (call.end_ns <= span.begin_ns) continue;
    span.end_ns = call.end_ns;
    if (call.stage == Stage::kTrainStep) ++steps;
    if (++calls == kShownCalls || steps == kShownSteps) break;
  }
  return span;
}

std::string Describe(const StageCall& call) {
  std::string text = fmt::format("{}, batch {}", StageName(call.stage), call.batch);
  if (call.sample != StageCall::kWholeBatch) text += fmt::format(", sample {}", call.sample);
  return text + fmt::format(": {:.3f} ms", static_cast<double>(call.end_ns - call.begin_ns) * 1e-6);
}

class Timeline {
 public:
  explicit Timeline(const Measurement& measured)
      : measured_(measured), span_(ShownSpan(measured)) {}

  std::string Html() const {
    std::string html = "<div class=\"timeline\">\n";
    for (const NamedThread& thread : NameThreads(measured_.calls)) html += Row(thread);
    html += fmt::format("<span>finished batches</span>{}\n", ReadyRow());
    html += fmt::format("<span></span><span class=\"dim\">{:.1f} ms</span>\n</div>\n",
                        1e3 * span_.seconds());
    html += "<p class=\"legend\">";
    for (std::size_t i = 0; i < kNumStages; ++i) {
      html += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", kColors[i],
                          StageName(static_cast<Stage>(i)));
    }
    return html + "</p>\n";
  }

 private:
  double At(std::int64_t ns) const {
    const auto whole =
        static_cast<double>(std::max<std::int64_t>(1, span_.end_ns - span_.begin_ns));
    const auto part =
        static_cast<double>(std::clamp(ns, span_.begin_ns, span_.end_ns) - span_.begin_ns);
    return kTimelineUnits * part / whole;
  }

  std::string Row(const NamedThread& thread) const {
    std::string html =
        fmt::format(R"(<span>{}</span><svg viewBox="0 0 {} 1" preserveAspectRatio="none">)",
                    thread.name, kTimelineUnits);
    for (const StageCall& call : measured_.calls) {
      if (call.thread != thread.number || call.end_ns <= span_.begin_ns) continue;
      if (call.begin_ns >= span_.end_ns) continue;
      const double left = At(call.begin_ns);
      html += fmt::format(
          R"(<rect x="{:.1f}" y="0" width="{:.1f}" height="1" style="fill:{}"><title>{}</title></rect>)",
          left, std::max(1.0, At(call.end_ns) - left), ColorOf(call.stage), Describe(call));
    }
    return html + "</svg>\n";
  }

  // How many batches are ready over the time.
  std::string ReadyRow() const {
    const auto counts = CountReadyBatches(measured_.calls);
    int most = 1;
    for (const CountFrom& count : counts) most = std::max(most, count.count);
    std::string html =
        fmt::format(R"(<svg class="count" viewBox="0 0 {} {}" preserveAspectRatio="none">)",
                    kTimelineUnits, most);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const std::int64_t to_ns = i + 1 < counts.size() ? counts[i + 1].from_ns : span_.end_ns;
      if (counts[i].count == 0 || to_ns <= span_.begin_ns || counts[i].from_ns >= span_.end_ns) {
        continue;
      }
      const double left = At(counts[i].from_ns);
      html += fmt::format(
          R"(<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{} ready</title></rect>)",
          left, most - counts[i].count, At(to_ns) - left, counts[i].count, counts[i].count);
    }
    return html + "</svg>";
  }

  const Measurement& measured_;
  const Span span_;
};

}  // namespace

std::string ProfilePage(const ProfileReport& report) {
  const Measurement& main = report.measured.main();
  std::string body = fmt::format(
      "<h1>{}</h1>\n<p class=\"dim\">{} on {}; batches of {} pictures of {} x {} pixels; {} "
      "workers, "
      "{} slots, {} cores</p>\n",
      EscapeHtml(report.recipe), EscapeHtml(report.dataset), EscapeHtml(report.devices),
      report.per_device, report.picture_width, report.picture_height, report.workers, report.slots,
      report.cores);
  body += fmt::format("<div class=\"verdict\"><b>{}</b><p>{}</p></div>\n",
                      EscapeHtml(report.verdict.sentence), EscapeHtml(report.verdict.advice));
  body += Cards(report);
  body += fmt::format("<h2>Stages <small>{}, {:.1f} s</small></h2>\n",
                      report.measured.whole ? "with the train step" : "feed alone",
                      main.use.span.seconds());
  body += StageTable(main.use);
  body +=
      "<p class=\"dim\">A thread is in a stage while one of its calls runs. <i>queued</i>: how "
      "long a "
      "sample or batch lay in front of the stage, mean; in front of plan: a free slot.</p>\n";
  body += "<h2>Time line <small>the first train steps that were measured</small></h2>\n";
  body += Timeline(main).Html();
  body += fmt::format("<footer>millrace {}</footer>\n", EscapeHtml(BuildVersion()));
  return HtmlPage("millrace profile: " + report.recipe, body);
}

}  // namespace millrace::pipeline
