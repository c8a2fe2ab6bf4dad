// The pictures of an image folder: class sub-folders with files in them, as torchvision's
// ImageFolder reads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::storage {

// A file that should hold a picture.
struct SourceFile {
  std::string path;              // relative to the folder, its first part the class; bytes as found
  std::uint32_t label = 0;       // index into ImageFolder::classes
  std::uint64_t bytes = 0;       // of the file
  std::int64_t modified_ns = 0;  // time of the last change
};

struct ImageFolder {
  std::filesystem::path root;
  std::vector<std::string> classes;  // folder names sorted by their bytes
  std::vector<SourceFile> files;     // sorted by class, then by the bytes of the path
  std::vector<std::string> ignored;  // what is neither a picture nor hidden, relative, sorted
};

// Whether a file name ends as that of a picture of any kind, in whatever case: "x.JPEG", "x.webp".
bool HasPictureExtension(std::string_view name);

// Lists `root`. Files with the extension of a picture of any kind are taken (what is in them is for
// whoever reads them), in folders below the classes' too; hidden ones are passed over, symbolic
// links followed, other files named in `ignored`. Throws Error when the folder is missing or
// unreadable, has no class folders, or a class folder holds no pictures.
ImageFolder ListImageFolder(const std::filesystem::path& root);

}  // namespace millrace::storage
