// Command lines as a shell reads them.
#pragma once

#include <string>
#include <vector>

namespace millrace {

// One argument, quoted where a POSIX shell would not take it as it stands.
std::string ShellWord(const std::string& word);

// Several, with a space between them.
std::string ShellWords(const std::vector<std::string>& words);

}  // namespace millrace
