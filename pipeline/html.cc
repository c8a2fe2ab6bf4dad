#include "pipeline/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/format.h"
#include "base/utf8.h"

namespace millrace::pipeline {
namespace {

constexpr std::size_t kFewestBars = 12;  // fewer would be too broad; empty ones make up for them

constexpr std::string_view kStyle = R"(
:root {
  color-scheme: light dark;
  --page: #fff; --raised: #f5f6f8; --ink: #1c2128; --dim: #626b76; --line: #dfe3e8;
  --bar: #5b8def; --accent: #e0792f; --bad: #c93c37; --good: #1a8a4a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --raised: #1e232a; --ink: #e4e8ed; --dim: #98a2ae; --line: #333a44;
    --bar: #5b8def; --accent: #f0944d; --bad: #f0706a; --good: #4cc07d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 80rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { margin: 0; font-size: 2rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 {
  margin: 3rem 0 1rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line);
  font-size: 1.4rem;
}
h3 { margin: 2rem 0 .6rem; font-size: 1.05rem; }
h4 { margin: 1.4rem 0 .5rem; font-size: .95rem; }
h2 small, h3 small, h4 small { color: var(--dim); font-weight: normal; font-size: .85em; }
p { margin: .4rem 0; }
a { color: var(--bar); text-decoration: none; }
a:hover { text-decoration: underline; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .8rem 0; }
.dim { color: var(--dim); }
.bad { color: var(--bad); }
.cards { display: flex; flex-wrap: wrap; gap: .7rem; margin: 0; }
.cards div {
  flex: 1 1 8rem; max-width: 20rem; padding: .6rem .9rem; border-radius: .5rem; background: var(--raised);
}
.cards dt { color: var(--dim); font-size: .85em; }
.cards dd { margin: 0; font-size: 1.3rem; font-weight: 600; white-space: nowrap; }
.cards dd small { display: block; color: var(--dim); font-size: .8rem; font-weight: normal; }
.charts {
  display: grid; gap: 1.2rem; margin: 1.2rem 0;
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));
}
.charts figure { margin: 0; }
.charts figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; }
.charts figcaption b { flex: 1 0 100%; font-weight: 600; }
.charts figcaption span { color: var(--dim); font-size: .82em; }
svg { display: block; width: 100%; height: 5rem; border-bottom: 1px solid var(--line); }
svg rect, svg path { fill: var(--bar); }
svg .median { fill: var(--accent); }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
table { border-collapse: collapse; }
caption { padding-bottom: .2rem; font-weight: 600; text-align: left; white-space: nowrap; }
th, td { padding: .15rem 1.2rem .15rem 0; text-align: left; vertical-align: top; }
th { color: var(--dim); font-weight: normal; font-size: .85em; }
td { unicode-bidi: isolate; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody tr { border-top: 1px solid var(--line); }
table.wide { width: 100%; }
table.wide td.n { width: 1%; }
.scroll { max-height: 34rem; overflow-y: auto; border: 1px solid var(--line); padding: 0 .8rem; }
.files { max-height: 16rem; font-size: .87em; }
.scroll thead th { position: sticky; top: 0; padding-top: .4rem; background: var(--page); }
td.bar { width: 34%; min-width: 8rem; }
td.bar div { display: flex; align-items: center; gap: .5rem; }
td.bar i { height: .7rem; border-radius: 2px; background: var(--bar); }
td.bar span { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar.narrow { width: 22%; }
.gallery { display: flex; flex-wrap: wrap; gap: .8rem; }
.gallery figure { display: flex; flex-direction: column; margin: 0; min-width: 7rem; }
.gallery .picture {
  display: flex; align-items: center; justify-content: center; height: 6.5rem;
  border-radius: .3rem; background: var(--raised); overflow: hidden;
}
.gallery img { width: auto; max-width: 20rem; height: auto; max-height: 6.5rem; }
.gallery img.small { height: 5rem; image-rendering: pixelated; }
.gallery .picture p { max-width: 11rem; padding: .5rem; font-size: .8em; overflow-wrap: anywhere; }
.gallery figcaption { width: 0; min-width: 100%; padding-top: .2rem; font-size: .8em; line-height: 1.35; }
.gallery figcaption * {
  display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  unicode-bidi: isolate;
}
.gallery mark { background: none; color: var(--accent); white-space: normal; }
.charts.curves { grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); }
.plot { --s0: var(--bar); --s1: var(--accent); --s2: #009e73; --s3: #cc79a7; }
.s0 { --s: var(--s0); } .s1 { --s: var(--s1); } .s2 { --s: var(--s2); } .s3 { --s: var(--s3); }
figure.plot figcaption { justify-content: flex-start; gap: 0 1rem; }
figure.plot figcaption span::before {
  content: ""; display: inline-block; width: .8rem; height: .2rem; margin-right: .35rem;
  background: var(--s); vertical-align: .2em;
}
svg.plot { height: auto; border: 0; font-size: 11px; }
svg.plot text { fill: var(--dim); font-variant-numeric: tabular-nums; }
svg.plot text.x { text-anchor: middle; }
svg.plot text.y { text-anchor: end; }
svg.plot path { fill: none; stroke-width: 1; stroke: var(--line); }
svg.plot .axis { stroke: var(--dim); }
svg.plot .line { stroke: var(--s); stroke-width: 1.6; stroke-linejoin: round; }
svg.plot .band { fill: var(--s); fill-opacity: .18; stroke: none; }
svg.plot circle { fill: var(--s); }
svg.plot .at rect { fill: transparent; }
svg.plot .at path, svg.plot .at circle { opacity: 0; }
svg.plot .at path { stroke: var(--dim); }
svg.plot .at:hover path, svg.plot .at:hover circle { opacity: 1; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); }
.samples .picture { height: auto; aspect-ratio: 1; border: 3px solid var(--mark); }
.samples img, .samples img.small { width: 100%; max-width: none; height: 100%; max-height: none; object-fit: contain; }
.samples .right { --mark: var(--good); } .samples .wrong { --mark: var(--bad); }
.samples figcaption b { color: var(--mark); }
.sideways { overflow-x: auto; }
.words td { overflow-wrap: break-word; }
.words code { white-space: nowrap; }
.state { color: var(--good); } .state.failed { color: var(--bad); } .state.open { color: var(--accent); }
pre { max-height: 34rem; margin: 0; padding: .8rem; border-radius: .5rem; background: var(--raised);
  overflow: auto; font: .82em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.verdict { margin: 1.2rem 0; padding: .9rem 1.2rem; border-left: .3rem solid var(--accent);
  border-radius: .3rem; background: var(--raised); }
.verdict b { font-size: 1.15rem; font-weight: 600; }
.timeline { display: grid; grid-template-columns: max-content 1fr; gap: .25rem .8rem; align-items: center; }
.timeline svg { height: 1.7rem; border: 0; background: var(--raised); }
.timeline svg.count { height: 3rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .8rem 0; font-size: .87em; }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px;
  vertical-align: -.1rem; }
footer { margin-top: 4rem; color: var(--dim); font-size: .85em; }
@media (max-width: 40rem) {
  body { padding: 1.2rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  th, td { padding-right: .7rem; }
  .roomy { display: none; }
  .words td.bar { min-width: 6rem; }
  .samples { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
}
@media print {
  :root { color-scheme: light; --page: #fff; --raised: #f5f6f8; --ink: #1c2128; --dim: #626b76;
    --line: #dfe3e8; --accent: #e0792f; --bad: #c93c37; --good: #1a8a4a; }
  body { max-width: none; padding: 0; font-size: 12px; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  nav { display: none; }
  .scroll, pre { max-height: none; overflow: visible; }
  pre { white-space: pre-wrap; }
  figure, tr, .cards div { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
}
)";

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : Printable(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string DataUri(std::string_view media_type, std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string uri = fmt::format("data:{};base64,", media_type);
  uri.reserve(uri.size() + (bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < count ? std::to_integer<std::uint32_t>(bytes[at + i]) : 0);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      uri += i <= count ? kDigits[bits >> (18 - 6 * i) & 63] : '=';
    }
  }
  return uri;
}

std::string HistogramSvg(const Histogram& histogram, std::uint64_t median,
                         std::string (*format)(std::uint64_t)) {
  const auto bins = histogram.bins();
  std::uint64_t most = 1;
  for (const auto& bin : bins) most = std::max(most, bin.count);
  const std::size_t columns = std::max(kFewestBars, bins.size());
  const double left = static_cast<double>(columns - bins.size()) / 2;
  std::string svg =
      fmt::format(R"(<svg viewBox="0 0 {} 100" preserveAspectRatio="none">)", columns);
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const Histogram::Bin& bin = bins[i];
    if (bin.count == 0) continue;
    // Whatever is there is to be seen.
    const double height =
        std::max(1.0, 100 * static_cast<double>(bin.count) / static_cast<double>(most));
    const bool is_median = bin.first <= median && median <= bin.last;
    svg += fmt::format(
        R"(<rect x="{:.2f}" y="{:.1f}" width="0.9" height="{:.1f}"{}><title>{}: {}</title></rect>)",
        left + static_cast<double>(i) + 0.05, 100 - height, height,
        is_median ? R"( class="median")" : "",
        bin.first == bin.last ? format(bin.first)
                              : fmt::format("{} to {}", format(bin.first), format(bin.last)),
        FormatCount(bin.count));
  }
  return svg + "</svg>";
}

std::string ProfileSvg(const std::vector<std::uint64_t>& counts) {
  std::uint64_t most = 1;
  for (const std::uint64_t count : counts) most = std::max(most, count);
  std::string svg = fmt::format(
      R"(<svg viewBox="0 0 {} 100" preserveAspectRatio="none"><path d="M0 100)", counts.size());
  for (const std::uint64_t count : counts) {
    svg += fmt::format("V{:.1f}h1",
                       100 - 100 * static_cast<double>(count) / static_cast<double>(most));
  }
  return svg + R"(V100Z"/></svg>)";
}

std::string HtmlCard(std::string_view name, std::string_view value) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", name, value);
}

std::string Plural(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", FormatCount(count), noun, count == 1 ? "" : "s");
}

std::string HtmlPage(std::string_view title, std::string_view body) {
  std::string page = fmt::format(R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{}</title>
<style>{}</style>
</head>
<body>
)",
                                 EscapeHtml(title), kStyle);
  page += body;
  page += "</body>\n</html>\n";
  return page;
}

}  // namespace millrace::pipeline
