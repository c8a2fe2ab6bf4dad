#include "storage/image_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/utf8.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;

// Deeper nesting than this is a symbolic link that leads back up.
constexpr int kMaxDepth = 16;

// The entries of a folder without the hidden ones, sorted by name.
std::vector<fs::path> Entries(const fs::path& folder) {
  std::error_code code;
  std::vector<fs::path> entries;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    if (!at->path().filename().native().starts_with('.')) entries.push_back(at->path());
  }
  if (code) Fail("cannot read the folder {}: {}", folder.string(), code.message());
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return entries;
}

class Lister {
 public:
  explicit Lister(ImageFolder& result) : result_(result) {}

  // Adds what lies in `folder`, whose path below the root is `relative`.
  void List(const fs::path& folder, const std::string& relative, std::uint32_t label, int depth) {
    if (depth > kMaxDepth) {
      Fail("{} is nested more than {} folders deep; does a symbolic link lead back up?",
           folder.string(), kMaxDepth);
    }
    for (const fs::path& entry : Entries(folder)) {
      const std::string path = relative + "/" + entry.filename().string();
      struct stat info {};
      const bool found = ::stat(entry.c_str(), &info) == 0;
      if (found && S_ISDIR(info.st_mode)) {
        List(entry, path, label, depth + 1);
      } else if (!HasPictureExtension(entry.native())) {
        result_.ignored.push_back(path);
      } else {
        // A link that leads nowhere stays in the list: reading it is what fails, with its name.
        const auto modified =
            std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
        result_.files.push_back({.path = path,
                                 .label = label,
                                 .bytes = static_cast<std::uint64_t>(info.st_size),
                                 .modified_ns = modified});
      }
    }
  }

 private:
  ImageFolder& result_;
};

// Pictures of a split's folders taken for classes would train without a complaint.
bool LooksLikeSplits(const std::vector<std::string>& classes) {
  static constexpr std::array<std::string_view, 6> kNames = {"test", "train", "training",
                                                             "val",  "valid", "validation"};
  return std::all_of(classes.begin(), classes.end(), [](const std::string& name) {
    return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
  });
}

}  // namespace

bool HasPictureExtension(std::string_view name) {
  static constexpr std::array<std::string_view, 13> kExtensions = {
      ".jpg", ".jpeg", ".jpe", ".jfif", ".png",  ".gif", ".bmp",
      ".ppm", ".pgm",  ".tif", ".tiff", ".webp", ".avif"};
  std::string extension = fs::path(name).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

ImageFolder ListImageFolder(const fs::path& root) {
  std::error_code code;
  if (!fs::exists(root, code)) FailUsage("there is no folder {}", root.string());
  if (!fs::is_directory(root, code)) FailUsage("{} is not a folder", root.string());
  ImageFolder result{.root = root, .classes = {}, .files = {}, .ignored = {}};
  std::vector<fs::path> folders;
  for (const fs::path& entry : Entries(root)) {
    if (fs::is_directory(entry, code)) {
      folders.push_back(entry);
      result.classes.push_back(entry.filename().string());
      if (!IsUtf8(result.classes.back())) {
        Fail("the name of the class folder {} is not UTF-8, as the manifest needs it; rename it",
             entry.string());
      }
    } else {
      result.ignored.push_back(entry.filename().string());
    }
  }
  if (folders.empty()) {
    Fail("{} has no class folders; pictures are expected as {}/<class>/<picture>.jpg",
         root.string(), root.string());
  }
  if (LooksLikeSplits(result.classes)) {
    FailUsage("{} holds splits, not classes; convert each by itself, as in --from {}",
              root.string(), folders.front().string());
  }
  for (std::size_t i = 0; i < folders.size(); ++i) {
    const std::size_t before = result.files.size();
    Lister(result).List(folders[i], result.classes[i], static_cast<std::uint32_t>(i), 1);
    if (result.files.size() == before) {
      Fail("the class folder {} holds no pictures; remove it or fill it", folders[i].string());
    }
  }
  std::sort(result.files.begin(), result.files.end(), [](const SourceFile& a, const SourceFile& b) {
    return a.label != b.label ? a.label < b.label : a.path < b.path;
  });
  std::sort(result.ignored.begin(), result.ignored.end());
  return result;
}

}  // namespace millrace::storage
