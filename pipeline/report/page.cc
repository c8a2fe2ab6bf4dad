#include "pipeline/report/page.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string_view>
#include <vector>

#include "base/build_info.h"
#include "base/format.h"
#include "pipeline/html.h"
#include "pipeline/report/curves.h"
#include "pipeline/report/evaluation_part.h"
#include "pipeline/report/figures.h"

namespace millrace::pipeline {
namespace {

using State = RunStatus::State;

std::string Date(std::int64_t seconds) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

std::uint64_t LastStep(const RunReport& report) {
  std::uint64_t step = 0;
  if (report.status) step = report.status->step;
  for (const RunLine& line : report.run.lines) step = std::max(step, line.step);
  return step;
}

// What became of the run, as an HTML paragraph.
std::string StateLine(const RunReport& report) {
  const std::string step = fmt::format("at step {}", FormatCount(LastStep(report)));
  if (!report.status) return fmt::format("<p>{}</p>\n", step);
  const RunStatus& status = *report.status;
  const std::string where = fmt::format("{} of {}", step, FormatCount(status.total_steps));
  std::string what;
  if (report.killed) {
    what =
        fmt::format("<b class=\"state failed\">ended without a word</b> {}: it was killed", where);
  } else if (status.state == State::kRunning) {
    what = fmt::format("<b class=\"state open\">running</b> {}", where);
  } else if (status.state == State::kInterrupted) {
    what = fmt::format("<b class=\"state open\">interrupted</b> {}", where);
  } else if (status.state == State::kFailed) {
    what = fmt::format("<b class=\"state failed\">failed</b> {}: {}", where,
                       EscapeHtml(status.reason));
  } else {
    what = fmt::format("<b class=\"state\">finished</b> {}", where);
  }
  return fmt::format("<p>{}; began {}{}{}</p>\n", what, Date(status.began),
                     status.ended > 0 ? ", ended " + Date(status.ended) : "",
                     status.parts > 1 ? fmt::format(", in {} parts", status.parts) : "");
}

std::string Header(const RunReport& report, const std::string& name, bool is_evaluated) {
  const auto value = [&report](const char* key) { return EscapeHtml(report.run.Environment(key)); };
  std::string html = fmt::format("<header>\n<h1>{}</h1>\n", EscapeHtml(name)) + StateLine(report);
  html += fmt::format(
      "<p class=\"dim\">{} device{} ({}), global batch {}; dataset {} with fingerprint "
      "<code>{}</code>; millrace {}, LibTorch {}</p>\n",
      value("lanes"), value("lanes") == "1" ? "" : "s", value("device_name"), value("global_batch"),
      value("dataset"), value("dataset_fingerprint"), value("millrace"), value("libtorch"));
  html += "<nav>\n<a href=\"#curves\">curves</a>\n";
  if (is_evaluated) {
    html +=
        "<a href=\"#classes\">classes</a>\n<a href=\"#mistakes\">confused pairs</a>\n"
        "<a href=\"#samples\">samples</a>\n";
  }
  return html +
         "<a href=\"#environment\">environment</a>\n<a href=\"#recipe\">recipe</a>\n</nav>\n"
         "</header>\n";
}

std::string RateCard(const std::string& name, double share, const Interval& likely,
                     std::uint64_t epoch) {
  return HtmlCard(name, fmt::format("{:.2f} %<small>epoch {}; {:.2f} to {:.2f} %</small>",
                                    100 * share, epoch, 100 * likely.low, 100 * likely.high));
}

std::string Cards(const RunReport& report) {
  std::string html = "<dl class=\"cards\">\n";
  const std::vector<Validation> validations = Validations(report.run);
  const auto add = [&html](const Validation& one, const std::string& which) {
    html += RateCard(which + " top-1", one.top1, one.Top1Interval(), one.epoch);
    html += RateCard(which + " top-5", one.top5, one.Top5Interval(), one.epoch);
  };
  if (const auto best = Best(validations)) {
    const bool is_last = best->step == validations.back().step;
    add(*best, is_last ? "best and last" : "best");
    if (!is_last) add(validations.back(), "last");
  }
  if (const auto pace = PaceOf(report.timings)) {
    html +=
        HtmlCard("throughput, median",
                 fmt::format("{} images/s<small>in training</small>",
                             FormatCount(static_cast<std::uint64_t>(pace->images_per_s + 0.5))));
    html += HtmlCard("waited for data", fmt::format("{:.2f} %<small>of training</small>",
                                                    100 * pace->data_wait_share));
  }
  if (report.status) {
    html += HtmlCard("time", fmt::format("{}<small>with evaluations and starts</small>",
                                         FormatDuration(static_cast<double>(report.worked_s))));
  }
  html += "</dl>\n";
  if (!validations.empty()) {
    html +=
        "<p class=\"dim\">Ranges hold the true share with 95 % confidence, as far as the number of "
        "images goes (Wilson).</p>\n";
  }
  return html;
}

std::string EnvironmentSection(const RunRecord& run) {
  std::string html =
      "<section id=\"environment\">\n<h2>Environment <small>environment.json</small></h2>\n"
      "<div class=\"sideways\">\n<table><tbody>\n";
  for (const auto& [name, value] : run.environment) {
    html += fmt::format("<tr><td class=\"dim\">{}</td><td><code>{}</code></td></tr>\n",
                        EscapeHtml(name), EscapeHtml(value));
  }
  return html + "</tbody></table>\n</div>\n</section>\n";
}

std::string RecipeSection(const RunRecord& run) {
  std::string html =
      "<section id=\"recipe\">\n<h2>Recipe <small>config.toml, as it took "
      "effect</small></h2>\n<pre>";
  std::string_view text = run.config;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    html += EscapeHtml(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return html + "</pre>\n</section>\n";
}

}  // namespace

std::string RunReportPage(const RunReport& report) {
  std::string name = report.run.Environment("recipe");
  if (name.empty()) name = report.run.root.filename().string();
  std::string body = Header(report, name, report.evaluation.has_value()) + Cards(report);
  body += "<section id=\"curves\">\n<h2>Curves</h2>\n" + ReportCurves(report) + "</section>\n";
  body +=
      report.evaluation
          ? ReportEvaluation(*report.evaluation, report.pictures, report.run.Environment("dataset"))
          : fmt::format("<p class=\"dim\">{}</p>\n", EscapeHtml(report.evaluation_fault));
  body += EnvironmentSection(report.run) + RecipeSection(report.run);
  body += fmt::format("<footer>Run folder {}. Written by millrace {}.</footer>\n",
                      EscapeHtml(std::filesystem::absolute(report.run.root).string()),
                      EscapeHtml(BuildVersion()));
  return HtmlPage(name + " \u2013 millrace", body);
}

}  // namespace millrace::pipeline
