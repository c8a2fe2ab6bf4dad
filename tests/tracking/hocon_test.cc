#include "tracking/hocon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::tracking {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::string Variables(const std::string& name) { return name == "SET" ? "from outside" : ""; }

auto Read(std::string_view text) { return ReadHocon(text, Variables); }

TEST(Hocon, SectionsAndDottedKeysGiveDottedNames) {
  EXPECT_THAT(Read("a {\n b: 1, c = two words \n d { \"e\" : \"x y\" }\n}\nf.g=3\n{h: 4}"),
              ElementsAre(Pair("a.b", "1"), Pair("a.c", "two words"), Pair("a.d.e", "x y"),
                          Pair("f.g", "3"), Pair("h", "4")));
}

TEST(Hocon, CommentsAreLeftOutAndAddressesAreNone) {
  EXPECT_THAT(Read("# a: 1\n// b: 2\nc: http://host:8008 // api\nd: \"#no // comment\" # one\n"),
              ElementsAre(Pair("c", "http://host:8008"), Pair("d", "#no // comment")));
}

TEST(Hocon, ListsAreLeftOutWithWhatIsInThem) {
  EXPECT_THAT(Read("a: [ {b: 1}, \"]\", [2] # ]\n ]\nc: 3\nd [4]\ne: 5"),
              ElementsAre(Pair("c", "3"), Pair("e", "5")));
}

TEST(Hocon, JsonIsRead) {
  EXPECT_THAT(Read(R"({"a": {"b": "q\"\\\u00e9", "c": [1, {"d": 2}], "e": true}, "f": ""})"),
              ElementsAre(Pair("a.b", "q\"\\é"), Pair("a.e", "true"), Pair("f", "")));
}

TEST(Hocon, LaterOnesWinAndVariablesAreReplaced) {
  EXPECT_THAT(
      Read("a: 1\na: 2\nb: ${SET}\nc: ${?NOT}\nd: old\nd: ${?NOT}\ne: ${a}\nf: \"\"\"x\"y\"\"\""),
      ElementsAre(Pair("a", "2"), Pair("b", "from outside"), Pair("d", "old"), Pair("e", "2"),
                  Pair("f", "x\"y")));
}

// Whatever is in the file, reading it comes to an end.
TEST(Hocon, EveryCutAndEveryChangedByteIsRead) {
  const std::string text =
      "{a: [1, {\"b\": \"\\\"\"}], c { d = ${?E} x }\n# f\n\"\"\"g\"\"\": 1\n}";
  for (std::size_t i = 0; i <= text.size(); ++i) {
    (void)Read(std::string_view(text).substr(0, i));
    for (const char c : std::string_view("{}[]\"$:=,#\n\\\0x", 14)) {
      std::string changed = text;
      changed.insert(i, 1, c);
      EXPECT_LE(Read(changed).size(), 10U);
    }
  }
}

}  // namespace
}  // namespace millrace::tracking
