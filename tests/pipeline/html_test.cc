#include "pipeline/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/format.h"

namespace millrace::pipeline {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t CountOf(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::string Plain(std::uint64_t value) { return FormatCount(value); }

TEST(EscapeHtml, WhatHtmlUnderstandsBecomesReferences) {
  EXPECT_EQ(EscapeHtml("<a href=\"x\" b='y'>&amp;"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
}

TEST(EscapeHtml, OtherTextStaysAndBytesThatAreNoTextAreReplaced) {
  EXPECT_EQ(EscapeHtml("Ä b/c.JPEG"), "Ä b/c.JPEG");
  EXPECT_EQ(EscapeHtml("a\xFF\x1B\n"), "a\uFFFD\uFFFD\uFFFD");
}

TEST(EscapeHtml, NoByteGetsThroughThatEndsATextOrAnAttribute) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string escaped = EscapeHtml(std::string("x") + static_cast<char>(byte) + "y");
    EXPECT_EQ(escaped.find_first_of(std::string("<>\"'\0\r\n", 7)), std::string::npos) << byte;
    if (byte == '&') {
      EXPECT_EQ(escaped, "x&amp;y");
    }
  }
}

TEST(DataUri, IsBase64OfTheBytes) {
  // The test vectors of RFC 4648.
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [text, code] : vectors) {
    EXPECT_EQ(DataUri("image/png", std::as_bytes(std::span(std::string_view(text)))),
              std::string("data:image/png;base64,") + code);
  }
  const std::byte high[] = {std::byte{0xFF}, std::byte{0xEF}, std::byte{0xBE}};
  EXPECT_EQ(DataUri("x", high), "data:x;base64,/+++");
}

TEST(HistogramSvg, HasABarForEachBinThatHoldsSomething) {
  Histogram histogram;
  for (const std::uint64_t value : {4u, 4u, 6u, 900u}) histogram.Add(value);
  const std::string svg = HistogramSvg(histogram, 4, Plain);
  EXPECT_EQ(CountOf(svg, "<rect"), 3u);
  EXPECT_EQ(CountOf(svg, "</rect>"), 3u);
  EXPECT_THAT(svg, HasSubstr("<title>4: 2</title>"));
  EXPECT_THAT(svg, HasSubstr("<title>896 to 1,023: 1</title>"));
  EXPECT_THAT(svg, HasSubstr(R"(height="100.0" class="median")"));
  EXPECT_EQ(CountOf(svg, "median"), 1u);
}

TEST(HistogramSvg, OfNothingHasNoBars) {
  EXPECT_THAT(HistogramSvg({}, 0, Plain), Not(HasSubstr("<rect")));
}

TEST(HistogramSvg, RareValuesAreToBeSeen) {
  Histogram histogram;
  for (int i = 0; i < 100000; ++i) histogram.Add(4);
  histogram.Add(6);
  EXPECT_THAT(HistogramSvg(histogram, 4, Plain), HasSubstr(R"(y="99.0" width="0.9" height="1.0")"));
}

TEST(ProfileSvg, IsAStepForEachCount) {
  EXPECT_THAT(ProfileSvg({50, 0, 100}), HasSubstr(R"(d="M0 100V50.0h1V100.0h1V0.0h1V100Z")"));
  EXPECT_THAT(ProfileSvg({0, 0}), HasSubstr(R"(d="M0 100V100.0h1V100.0h1V100Z")"));
}

TEST(HtmlPage, AllowsNothingFromOutsideAndNoScript) {
  const std::string page = HtmlPage("</title><script>", "<p>body</p>");
  EXPECT_THAT(page, HasSubstr("default-src 'none'; img-src data:; style-src 'unsafe-inline'"));
  EXPECT_THAT(page, HasSubstr("<title>&lt;/title&gt;&lt;script&gt;</title>"));
  EXPECT_THAT(page, HasSubstr("<p>body</p></body>\n</html>\n"));
  for (const char* outside : {"<script", "<link", "@import", "url(", "http:", "https:"}) {
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  }
}

}  // namespace
}  // namespace millrace::pipeline
