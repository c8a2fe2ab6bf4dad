// A folder that nobody else of the machine can look into or put files into.
#pragma once

#include <filesystem>

namespace millrace {

// Creates `folder` with mode 0700, and its parents as mkdir makes them. One that is there already
// is taken when it belongs to this user and to nobody else; a link is not. Throws Error that names
// it and what to do. Any number of processes may call it at the same time.
void CreatePrivateFolder(const std::filesystem::path& folder);

}  // namespace millrace
