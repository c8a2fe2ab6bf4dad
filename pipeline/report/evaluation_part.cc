#include "pipeline/report/evaluation_part.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "base/format.h"
#include "base/shell.h"
#include "pipeline/html.h"
#include "pipeline/report/figures.h"

namespace millrace::pipeline {
namespace {

using Answer = EvaluationRecord::Answer;
using Class = EvaluationRecord::Class;
using Guess = EvaluationRecord::Guess;

constexpr std::size_t kManyClasses = 30;  // more of them scroll
constexpr std::size_t kShownMistakes = 20;
constexpr std::uint32_t kSmallSide = 128;  // [pixels]; smaller pictures are enlarged

double Share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::string NameOf(const Class& one) { return EscapeHtml(one.name); }

// Full where the share is `most`.
std::string Bar(double share, double most = 1) {
  return fmt::format(
      R"(<td class="bar narrow"><div><i style="width:{:.1f}%"></i><span>{:.1f} %</span></div></td>)",
      most > 0 ? 65 * share / most : 0, 100 * share);
}

std::string When(const EvaluationRecord& evaluation) {
  return fmt::format("{} of {}, epoch {}", Plural(evaluation.samples, "image"),
                     EscapeHtml(evaluation.split), evaluation.epoch);
}

std::string ClassSection(const EvaluationRecord& evaluation) {
  const std::vector<Class>& classes = evaluation.classes;
  std::vector<std::size_t> order(classes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Classes without samples come last: nothing is known of them.
  std::stable_sort(order.begin(), order.end(), [&classes](std::size_t a, std::size_t b) {
    const auto key = [&classes](std::size_t i) {
      return classes[i].samples == 0 ? 2 : Share(classes[i].right, classes[i].samples);
    };
    return key(a) < key(b);
  });
  std::map<std::uint64_t, const EvaluationRecord::Mistake*> worst_of;
  for (const auto& mistake : evaluation.mistakes) worst_of.emplace(mistake.label, &mistake);
  const bool has_ids = std::any_of(classes.begin(), classes.end(),
                                   [](const Class& one) { return one.id != one.name; });
  std::string html = fmt::format(
      "<section id=\"classes\">\n<h2>Classes <small>{}, worst first; {}</small></h2>\n"
      "<div class=\"{}\">\n<table class=\"wide words\"><thead><tr><th>class</th>"
      "{}<th class=\"n\">images</th><th class=\"n roomy\">right</th>"
      "<th>top-1</th><th class=\"n roomy\">95 %</th><th>most often taken for</th></tr></thead>"
      "<tbody>\n",
      FormatCount(classes.size()), When(evaluation),
      classes.size() > kManyClasses ? "scroll" : "sideways",
      has_ids ? "<th class=\"roomy\">id</th>" : "");
  for (const std::size_t i : order) {
    const Class& one = classes[i];
    const Interval likely =
        WilsonInterval(static_cast<double>(one.right), static_cast<double>(one.samples));
    html += fmt::format(
        "<tr><td>{}</td>{}<td class=\"n\">{}</td>"
        "<td class=\"n roomy\">{}</td>{}<td class=\"n dim roomy\">{:.0f} to {:.0f} %</td>",
        NameOf(one),
        has_ids ? fmt::format("<td class=\"roomy\"><code>{}</code></td>", EscapeHtml(one.id)) : "",
        FormatCount(one.samples), FormatCount(one.right),
        one.samples == 0 ? "<td class=\"dim\">no images</td>" : Bar(Share(one.right, one.samples)),
        100 * likely.low, 100 * likely.high);
    const auto worst = worst_of.find(i);
    html += worst == worst_of.end()
                ? std::string("<td></td></tr>\n")
                : fmt::format("<td>{} <span class=\"dim\">{}</span></td></tr>\n",
                              NameOf(classes[worst->second->answer]),
                              FormatCount(worst->second->count));
  }
  return html + "</tbody></table>\n</div>\n</section>\n";
}

std::string MistakeSection(const EvaluationRecord& evaluation) {
  const std::size_t shown = std::min(kShownMistakes, evaluation.mistakes.size());
  std::string html =
      fmt::format("<section id=\"mistakes\">\n<h2>Confused pairs <small>{}</small></h2>\n",
                  shown < evaluation.mistakes.size() ? fmt::format("the {} most frequent", shown)
                                                     : "the most frequent first");
  if (shown == 0) {
    return html + "<p class=\"dim\">No class was taken for another.</p>\n</section>\n";
  }
  html +=
      "<div class=\"sideways\">\n<table class=\"wide words\"><thead><tr><th>is</th><th>was taken "
      "for</th>"
      "<th class=\"n\">images</th><th>of the class</th></tr></thead><tbody>\n";
  const auto share_of = [&evaluation](const EvaluationRecord::Mistake& mistake) {
    return Share(mistake.count, evaluation.classes[mistake.label].samples);
  };
  double most = 0;
  for (std::size_t i = 0; i < shown; ++i) most = std::max(most, share_of(evaluation.mistakes[i]));
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& mistake = evaluation.mistakes[i];
    html += fmt::format("<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td>{}</tr>\n",
                        NameOf(evaluation.classes[mistake.label]),
                        NameOf(evaluation.classes[mistake.answer]), FormatCount(mistake.count),
                        Bar(share_of(mistake), most));
  }
  html += "</tbody></table>\n</div>\n";
  if (evaluation.unanswered > 0) {
    html += fmt::format("<p class=\"bad\">{} had no answer (NaN).</p>\n",
                        Plural(evaluation.unanswered, "image"));
  }
  return html + "</section>\n";
}

// Samples side by side.
class Grid {
 public:
  Grid(const EvaluationRecord& evaluation, const SamplePictures& pictures)
      : evaluation_(evaluation), pictures_(pictures) {}

  std::string Html(const char* title, const char* what, const std::vector<Answer>& answers) const {
    if (answers.empty()) return {};
    std::string html = fmt::format(
        "<h3>{} <small>{}</small></h3>\n<div class=\"gallery samples\">\n", title, what);
    for (const Answer& answer : answers) html += Figure(answer);
    return html + "</div>\n";
  }

 private:
  std::string Probability(const Guess& guess) const {
    return fmt::format("{} {:.2f}", NameOf(evaluation_.classes[guess.label]), guess.probability);
  }

  std::string Figure(const Answer& answer) const {
    const bool right = answer.said && answer.said->label == answer.truth.label;
    std::string html = fmt::format("<figure class=\"{}\">{}<figcaption>", right ? "right" : "wrong",
                                   Picture(answer));
    html += fmt::format("<b>{} {}</b>", right ? "\u2713" : "\u2717",
                        answer.said ? Probability(*answer.said) : "no answer (NaN)");
    html += fmt::format(
        "<span>is: {}</span>",
        answer.said ? Probability(answer.truth) : NameOf(evaluation_.classes[answer.truth.label]));
    if (answer.next) {
      html += fmt::format("<span class=\"dim\">next: {}</span>", Probability(*answer.next));
    }
    const std::string loss = std::isnan(answer.loss) ? "NaN" : fmt::format("{:.2f}", answer.loss);
    return html +
           fmt::format("<span class=\"dim\">sample {}, loss {}</span></figcaption></figure>\n",
                       answer.sample, loss);
  }

  std::string Picture(const Answer& answer) const {
    const auto at = pictures_.of_sample.find(answer.sample);
    if (at == pictures_.of_sample.end() || at->second.uri.empty()) {
      return fmt::format(
          R"(<div class="picture"><p class="dim">{}</p></div>)",
          at == pictures_.of_sample.end() ? "no picture" : EscapeHtml(at->second.fault));
    }
    const SamplePicture& picture = at->second;
    return fmt::format(
        R"(<div class="picture"><img{} width="{}" height="{}" alt="{}" src="{}"></div>)",
        std::max(picture.width, picture.height) < kSmallSide ? " class=\"small\"" : "",
        picture.width, picture.height, NameOf(evaluation_.classes[answer.truth.label]),
        picture.uri);
  }

  const EvaluationRecord& evaluation_;
  const SamplePictures& pictures_;
};

std::string SampleSection(const EvaluationRecord& evaluation, const SamplePictures& pictures,
                          const std::string& dataset) {
  std::string html = "<section id=\"samples\">\n<h2>Samples</h2>\n";
  if (evaluation.hardest.empty()) {
    return html +
           "<p class=\"dim\">The recipe wants none (tracking.pictures = 0).</p>\n</section>\n";
  }
  if (!pictures.fault.empty()) {
    html +=
        fmt::format("<p class=\"bad\">There are no pictures: {}</p>\n", EscapeHtml(pictures.fault));
  }
  html += fmt::format(
      "<p class=\"dim\">As the network saw them: what it said and how likely it found that, what "
      "they are. <code>{}</code> opens one.</p>\n",
      EscapeHtml(fmt::format("millrace inspect {} --split {} --sample {} --save sample.jpg",
                             ShellWord(dataset), ShellWord(evaluation.split),
                             evaluation.hardest.front().sample)));
  const Grid grid(evaluation, pictures);
  html += grid.Html("Hardest", "the largest losses", evaluation.hardest);
  html += grid.Html("Least decided", "two classes nearly as likely", evaluation.most_confused);
  return html + "</section>\n";
}

}  // namespace

std::string ReportEvaluation(const EvaluationRecord& evaluation, const SamplePictures& pictures,
                             const std::string& dataset) {
  return ClassSection(evaluation) + MistakeSection(evaluation) +
         SampleSection(evaluation, pictures, dataset);
}

}  // namespace millrace::pipeline
