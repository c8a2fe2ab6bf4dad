// Names as parts of the paths of ClearML's file server.
#pragma once

#include <string>
#include <string_view>

namespace millrace::tracking {

// Letters, digits and "-_." stay, every other byte becomes "0x2f", as in the SDK's own paths; never
// "." nor "..", nor longer than a file's name may be.
std::string ClearmlPathPart(std::string_view name);

// The same for each part of a name with slashes.
std::string ClearmlPath(std::string_view name);

}  // namespace millrace::tracking
