// Pieces of an HTML page that needs nothing but itself: no script, no other file, no network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"

namespace millrace::pipeline {

// Any bytes as text of an element or of a quoted attribute: Printable(), with what HTML would
// understand written as references.
std::string EscapeHtml(std::string_view text);

// "data:image/jpeg;base64,...". REQUIRES: `media_type` needs no escaping
std::string DataUri(std::string_view media_type, std::span<const std::byte> bytes);

// A picture of a histogram, bars from left to right with their values as tooltips; the bar that
// holds `median` has the class "median". `format` makes text of a value.
std::string HistogramSvg(const Histogram& histogram, std::uint64_t median,
                         std::string (*format)(std::uint64_t));

// A picture of many counts side by side, as one line.
std::string ProfileSvg(const std::vector<std::uint64_t>& counts);

// A number with its name, one of a row: to stand within <dl class="cards">. Both are HTML.
std::string HtmlCard(std::string_view name, std::string_view value);

// "1 picture", "1,200 pictures".
std::string Plural(std::uint64_t count, std::string_view noun);

// The whole page. Browsers are told to load nothing and to run nothing, whatever got into `body`.
// `title` is text, `body` is HTML.
std::string HtmlPage(std::string_view title, std::string_view body);

}  // namespace millrace::pipeline
