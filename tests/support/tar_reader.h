// The files of a tar archive, for tests and benchmarks that use the real pictures.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace millrace::testing {

struct TarMember {
  std::string name;
  std::vector<std::byte> bytes;
};

// Plain files of a ustar archive whose names end in `suffix`, in order. Throws Error when the
// archive cannot be read.
std::vector<TarMember> ReadTar(const std::filesystem::path& path, const std::string& suffix);

// The archive of that name in the folder MILLRACE_TEST_DATA; an empty path when the variable is not
// set.
std::filesystem::path TestData(const std::string& name);

}  // namespace millrace::testing
