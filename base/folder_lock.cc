#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace millrace {
namespace {

constexpr int kHeld = -2;

// The locked folder's descriptor; -1 when it cannot be locked, kHeld when another one holds it.
int Lock(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    return kHeld;
  }
  return descriptor;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder, std::string_view who)
    : descriptor_(Lock(folder)) {
  if (descriptor_ == kHeld) {
    Fail("{} is writing into {}; wait for it or choose another folder", who, folder.string());
  }
}

std::unique_ptr<FolderLock> FolderLock::TakeIfFree(const std::filesystem::path& folder) {
  const int descriptor = Lock(folder);
  if (descriptor == kHeld) return nullptr;
  return std::unique_ptr<FolderLock>(new FolderLock(descriptor));
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace millrace
