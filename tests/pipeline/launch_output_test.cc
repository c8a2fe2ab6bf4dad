#include "pipeline/launch/output.h"

#include <gtest/gtest.h>

namespace millrace::pipeline::launch {
namespace {

TEST(LinePrefix, StandsBeforeEachLineHoweverItComes) {
  LinePrefix prefix("[1] ");
  EXPECT_EQ(prefix.Add("a\nb"), "[1] a\n");
  EXPECT_EQ(prefix.Add("c"), "");
  EXPECT_EQ(prefix.Add("\n\nd\n"), "[1] bc\n[1] \n[1] d\n");
  EXPECT_EQ(prefix.Rest(), "");
  EXPECT_EQ(prefix.Add("no end"), "");
  EXPECT_EQ(prefix.Rest(), "[1] no end\n");
  EXPECT_EQ(prefix.Rest(), "");
}

TEST(LinePrefix, LineWithoutAnEndIsCut) {
  LinePrefix prefix("[1] ");
  const std::string lines = prefix.Add(std::string(100'000, 'x'));
  EXPECT_EQ(lines, "[1] " + std::string(65536, 'x') + "\n");
  EXPECT_EQ(prefix.Rest(), "[1] " + std::string(100'000 - 65536, 'x') + "\n");
}

std::string MessageOf(std::initializer_list<std::string_view> pieces) {
  LastMessage message;
  for (const std::string_view piece : pieces) message.Add(piece);
  return message.Text();
}

TEST(LastMessage, IsTheLastOneWithAllItsLines) {
  EXPECT_EQ(MessageOf({}), "");
  EXPECT_EQ(MessageOf({"progress 1\nprogress 2\n"}), "");
  EXPECT_EQ(MessageOf({"progress\nmillrace: a\n"}), "a");
  EXPECT_EQ(MessageOf({"millrace: a\nmillrace: b\nmore of b\n"}), "b\nmore of b");
  EXPECT_EQ(MessageOf({"not millrace: a\n"}), "");
  EXPECT_EQ(MessageOf({"x\nmill", "race: ", "cut", " in pieces\n"}), "cut in pieces");
  EXPECT_EQ(MessageOf({"millrace: old\n", "x\nmillrace: new"}), "new");
}

TEST(LastMessage, IsKeptShort) {
  LastMessage message;
  message.Add("millrace: begin ");
  for (int i = 0; i < 100; ++i) message.Add(std::string(1000, 'x'));
  EXPECT_LE(message.Text().size(), 4096U);
  EXPECT_TRUE(message.Text().starts_with("begin x"));
}

}  // namespace
}  // namespace millrace::pipeline::launch
