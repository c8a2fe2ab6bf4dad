#include "base/shell.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace millrace {
namespace {

std::string SaidByShell(const std::string& words) {
  FILE* shell = ::popen(("printf '<%s>' " + words).c_str(), "r");
  std::string said;
  for (int c = std::fgetc(shell); c != EOF; c = std::fgetc(shell))
    said.push_back(static_cast<char>(c));
  ::pclose(shell);
  return said;
}

TEST(Shell, WordsComeBackFromTheShellAsTheyWere) {
  EXPECT_EQ(
      SaidByShell(ShellWords({"plain/path=1", "", "two words", "it's", "$HOME `id` \\ \"", "\n"})),
      "<plain/path=1><><two words><it's><$HOME `id` \\ \"><\n>");
}

TEST(Shell, PlainWordsStayAsTheyAre) { EXPECT_EQ(ShellWord("a.b_c-1/2"), "a.b_c-1/2"); }

}  // namespace
}  // namespace millrace
