// Text files with a line for each thing: lists of labels and classes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::storage {

// The lines of a text without blanks around them and without empty ones at the end, so that the
// position of a line counts.
std::vector<std::string> SplitLines(std::string_view text);

// The same of a file. Throws Error when it cannot be read or is larger than 64 MiB.
std::vector<std::string> ReadLines(const std::filesystem::path& path);

}  // namespace millrace::storage
