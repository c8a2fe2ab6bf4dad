#include "pipeline/launch/slurm_notation.h"

#include <gtest/gtest.h>

namespace millrace::pipeline::launch {
namespace {

TEST(FirstHost, IsTheFirstOfEveryForm) {
  EXPECT_EQ(FirstHost("node1"), "node1");
  EXPECT_EQ(FirstHost("node1,node2"), "node1");
  EXPECT_EQ(FirstHost("n[1-2]"), "n1");
  EXPECT_EQ(FirstHost("gpu[017-020,031],login1"), "gpu017");
  EXPECT_EQ(FirstHost("gnode[10,20,25,37]"), "gnode10");
  EXPECT_EQ(FirstHost("rack[3]-node[07-12].example.org,x"), "rack3-node07.example.org");
}

TEST(FirstHost, IsNothingOfWhatIsNoList) {
  for (const char* text : {"", ",", "n[", "n[]", "n[a-b]", "n]", "[-2]"}) {
    EXPECT_FALSE(FirstHost(text).has_value()) << text;
  }
}

TEST(TasksOnNode, CountsThroughRepetitions) {
  EXPECT_EQ(TasksOnNode("4", 0), 4U);
  for (const std::uint32_t node : {0U, 1U, 2U}) EXPECT_EQ(TasksOnNode("2(x3),1", node), 2U);
  EXPECT_EQ(TasksOnNode("2(x3),1", 3), 1U);
  EXPECT_EQ(TasksOnNode("2,1", 1), 1U);
  EXPECT_EQ(TasksOnNode("1,8(x100),3", 100), 8U);
  EXPECT_EQ(TasksOnNode("1,8(x100),3", 101), 3U);
}

TEST(TasksOnNode, IsNothingWhereThereIsNoSuchNodeOrNoSuchText) {
  EXPECT_FALSE(TasksOnNode("2(x3),1", 4).has_value());
  for (const char* text : {"", "x", "2(x", "2(x)", "(x2)", "2(x3"}) {
    EXPECT_FALSE(TasksOnNode(text, 0).has_value()) << text;
  }
}

}  // namespace
}  // namespace millrace::pipeline::launch
