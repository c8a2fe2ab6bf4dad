#include "base/private_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace millrace {

void CreatePrivateFolder(const std::filesystem::path& folder) {
  if (folder.has_parent_path()) CreateFolders(folder.parent_path());
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    Fail("{}: cannot be created: {}", folder.string(), std::strerror(errno));
  }
  struct stat info {};
  if (::lstat(folder.c_str(), &info) != 0) {
    Fail("{}: cannot be looked at: {}", folder.string(), std::strerror(errno));
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() ||
      (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    Fail(
        "{}: must be a folder of this user that nobody else can enter (mode 0700); remove it, or "
        "set TMPDIR to another folder of this machine",
        folder.string());
  }
}

}  // namespace millrace
