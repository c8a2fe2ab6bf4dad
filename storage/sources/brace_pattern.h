// Many names in one, as a shell writes them: "imagenet-{000..127}.tar".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::storage {

// The names that a pattern with any number of "{first..last}" (numbers; zeros in front keep the
// width) and "{a,b,c}" stands for, in the shell's order; a text without braces stands for itself.
// Throws Error (usage): a brace without its partner, braces within braces, neither form inside, or
// more than 100,000 names.
std::vector<std::string> ExpandBraces(std::string_view pattern);

}  // namespace millrace::storage
