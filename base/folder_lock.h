// One process at a time in a folder: who writes there holds its lock.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

namespace millrace {

// Holds `folder` until it is destroyed or the process ends, however it ends. A file system without
// locks grants every one of them. Between processes and between objects of one process.
class FolderLock {
 public:
  // Throws Error "<who> is writing into <folder>; ..." when the folder is held already. Does not
  // wait. `who` names the holders of such locks: "another conversion".
  FolderLock(const std::filesystem::path& folder, std::string_view who);
  // The same for whoever can do without: nullptr when the folder is held already.
  static std::unique_ptr<FolderLock> TakeIfFree(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;  // -1: a folder that cannot be locked
};

}  // namespace millrace
