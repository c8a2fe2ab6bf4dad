// "Did you mean ...?" for mistyped keys and names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// "; did you mean \"momentum\"?" with the nearest of `known` by edit distance, or "" when none is
// near.
std::string Suggest(std::string_view given, const std::vector<std::string>& known);

}  // namespace millrace
