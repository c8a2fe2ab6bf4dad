#include "tracking/lettering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace millrace::tracking {
namespace {

constexpr Color kWhite{255, 255, 255};
constexpr Color kBlack{0, 0, 0};
constexpr std::string_view kLacking = "\U0001f9e0";

std::vector<std::uint8_t> Drawn(const Lettering& lettering, std::string_view text) {
  Canvas canvas(200, 30, kWhite);
  lettering.Draw(canvas, 3, 4, text, kBlack);
  return {canvas.pixels().begin(), canvas.pixels().end()};
}

// Columns and rows from the first to behind the last one with ink.
struct Extent {
  int left = 0;
  int right = 0;
  int top = 0;
  int bottom = 0;
};
Extent InkOf(const Canvas& canvas) {
  Extent extent{.left = canvas.width(), .top = canvas.height()};
  for (int y = 0; y < canvas.height(); ++y) {
    for (int x = 0; x < canvas.width(); ++x) {
      if (canvas.pixels()[static_cast<std::size_t>(3 * (y * canvas.width() + x))] == 255) continue;
      extent.left = std::min(extent.left, x);
      extent.right = std::max(extent.right, x + 1);
      extent.top = std::min(extent.top, y);
      extent.bottom = std::max(extent.bottom, y + 1);
    }
  }
  return extent;
}

TEST(Lettering, TextIsDrawnWithinItsWidthAndItsLine) {
  for (const int size : {9, 13, 24}) {
    const Lettering lettering(size);
    for (const std::string text : {"tench", "Hgqß", "WWWW 0.93"}) {
      Canvas canvas(400, 100, kWhite);
      lettering.Draw(canvas, 10, 20, text, kBlack);
      const Extent ink = InkOf(canvas);
      EXPECT_LT(ink.left, ink.right) << text;
      EXPECT_GE(ink.left, 9) << text;
      EXPECT_LE(ink.right, 10 + lettering.Width(text) + 1) << text;
      EXPECT_GT(ink.right, 10 + lettering.Width(text) - size / 2) << text;
      EXPECT_GE(ink.top, 20) << text;
      EXPECT_LE(ink.bottom, 20 + lettering.line_height()) << text;
    }
  }
}

TEST(Lettering, LettersOfManyScriptsAndSignsAreThere) {
  const Lettering lettering(13);
  std::vector<std::vector<std::uint8_t>> seen = {Drawn(lettering, kLacking), Drawn(lettering, "")};
  for (const std::string text : {"A", "Ä", "ß", "é", "ω", "Ж", "א", "ش", "\u2713", "\u2717", "…"}) {
    const auto pixels = Drawn(lettering, text);
    EXPECT_THAT(seen, testing::Not(testing::Contains(pixels))) << text;
    seen.push_back(pixels);
  }
}

TEST(Lettering, WhatTheFontLacksIsABoxOfSomeWidth) {
  const Lettering lettering(13);
  EXPECT_GT(lettering.Width(kLacking), 3);
  EXPECT_NE(Drawn(lettering, kLacking), Drawn(lettering, ""));
}

TEST(Lettering, BytesThatAreNoTextAreShownAsReplacements) {
  const Lettering lettering(13);
  const auto replacement = Drawn(lettering, "a\uFFFDz");
  for (const std::string text : {"a\xffz", "a\nz", "a\xc3z", "a\x7fz"}) {
    EXPECT_EQ(Drawn(lettering, text), replacement);
  }
}

TEST(Lettering, LongTextsEndInAnEllipsisWithinTheRoom) {
  const Lettering lettering(13);
  const std::string ellipsis = "…";
  for (const std::string text :
       {"English springer spaniel", "Straße nach Übersee", "Слон индийский"}) {
    const int all = lettering.Width(text);
    EXPECT_EQ(lettering.Fit(text, all), text);
    std::size_t before = text.size();
    for (int width = all - 1; width >= lettering.Width(ellipsis); --width) {
      const std::string fitted = lettering.Fit(text, width);
      ASSERT_THAT(fitted, testing::EndsWith(ellipsis));
      EXPECT_LE(lettering.Width(fitted), width);
      const std::string kept = fitted.substr(0, fitted.size() - ellipsis.size());
      EXPECT_THAT(text, testing::StartsWith(kept));
      EXPECT_LE(kept.size(), before);
      before = kept.size();
    }
    EXPECT_EQ(lettering.Fit(text, lettering.Width(ellipsis)), ellipsis);
    EXPECT_EQ(lettering.Fit(text, lettering.Width(ellipsis) - 1), "");
  }
}

// What goes wrong there is for the sanitizers to see.
TEST(Lettering, NothingIsDrawnBeyondTheCanvas) {
  const Lettering lettering(24);
  for (const auto& [left, top] : std::vector<std::pair<int, int>>{
           {-500, 0}, {-15, -10}, {15, 10}, {5, -500}, {5, 500}, {500, 5}}) {
    Canvas canvas(20, 20, kWhite);
    lettering.Draw(canvas, left, top, "WWWW", kBlack);
    const Extent ink = InkOf(canvas);
    EXPECT_EQ(ink.left < ink.right, std::abs(left) < 20 && std::abs(top) < 20)
        << left << " " << top;
  }
}

}  // namespace
}  // namespace millrace::tracking
