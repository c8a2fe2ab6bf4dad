#include "base/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace millrace {
namespace {

TEST(Utf8, TextsOfEveryLengthAreTaken) {
  for (const char* text : {"", "abc", "é", "ß€", "漢字", "😀", "\x7F", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
}

TEST(Utf8, BytesThatJsonRefusesAreRefused) {
  for (const char* text :
       {"\x80", "\xFF", "a\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82"}) {
    EXPECT_FALSE(IsUtf8(text));
  }
}

TEST(Utf8, PrintableTextStaysAsItIs) {
  for (const char* text : {"", "a b/c.jpg", "é ß€ 漢字 😀", "<b>&\"'", "\xC2\xA0"}) {
    EXPECT_EQ(Printable(text), text);
  }
}

TEST(Utf8, ControlCharactersAndBytesThatAreNoTextAreReplacedOneByOne) {
  EXPECT_EQ(Printable("a\x1B[31mb\n\x7F"), "a\uFFFD[31mb\uFFFD\uFFFD");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\uFFFD31m");
  EXPECT_EQ(Printable(std::string_view("\0x", 2)), "\uFFFDx");
  EXPECT_EQ(Printable("\xFF\xC3(\xE2\x82"), "\uFFFD\uFFFD(\uFFFD\uFFFD");
}

TEST(Utf8, WhateverTheBytesPrintableTextIsUtf8) {
  std::uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) {
      state = state * 1664525 + 1013904223;
      text += static_cast<char>(state >> 24);
    }
    const std::string printable = Printable(text);
    EXPECT_TRUE(IsUtf8(printable));
    EXPECT_EQ(Printable(printable), printable);
  }
}

}  // namespace
}  // namespace millrace
