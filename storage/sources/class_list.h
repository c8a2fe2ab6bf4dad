// The classes that somebody lists in a file: ids in order, and readable names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "storage/sources/sample_source.h"

namespace millrace::storage {

struct ClassList {
  std::vector<std::string> ids;  // the position is the class number
  ClassNames names;
  std::string origin;  // the file that says so, for messages
};

// Reads lines "id name ...", in which the first blank ends the id and the name may be left out:
// Kaggle's LOC_synset_mapping.txt is such a file. Empty lines at the end do not count. Throws Error
// naming the line: no id, an id twice, not UTF-8; or that the file cannot be read or is empty.
ClassList ReadClassList(const std::filesystem::path& path);

}  // namespace millrace::storage
