// Which source this program was built from.
#pragma once

#include <string_view>

namespace millrace {

// The version of CMakeLists.txt, such as "0.1.0".
std::string_view BuildVersion();

// The commit, with "-dirty" for a changed tree; "unknown" outside a git checkout.
std::string_view BuildCommit();

}  // namespace millrace
