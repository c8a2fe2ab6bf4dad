// devkit_judge: what the devkit reader and the maker of devkits do, for comparison with scipy.
//   devkit_judge read DEVKIT   prints "class <id> <words>" by id, then "label <id>" in order
//   devkit_judge make FILE     writes the meta.mat that tests use
#include <cstdio>
#include <exception>
#include <string_view>

#include "storage/sources/devkit.h"
#include "tests/support/source_maker.h"
#include "tests/support/tiny_images.h"

namespace {

void Read(const char* path) {
  const auto devkit = millrace::storage::ReadDevkit(path);
  for (const auto& id : devkit.classes.ids) {
    std::printf("class %s %s\n", id.c_str(), devkit.classes.names.at(id).c_str());
  }
  for (const auto& id : devkit.labels) std::printf("label %s\n", id.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string_view verb = argc == 3 ? argv[1] : "";
    if (verb == "read") {
      Read(argv[2]);
    } else if (verb == "make") {
      millrace::test::WriteBytes(
          argv[2], millrace::test::MakeMetaMat(millrace::test::MakeSmallPictures(5, 1)));
    } else {
      std::fprintf(stderr, "usage: devkit_judge read DEVKIT | make FILE\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
