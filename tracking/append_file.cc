#include "tracking/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace millrace::tracking {
namespace {

std::string Reason() { return std::generic_category().message(errno); }

}  // namespace

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) Fail("cannot open {}: {}", path_.string(), Reason());
  const off_t size = ::lseek(descriptor_, 0, SEEK_END);
  if (size < 0) {
    const std::string reason = Reason();
    ::close(descriptor_);
    Fail("cannot read the size of {}: {}", path_.string(), reason);
  }
  size_ = static_cast<std::uint64_t>(size);
}

AppendFile::AppendFile(std::filesystem::path path, std::uint64_t keep_bytes)
    : AppendFile(std::move(path)) {
  if (size_ < keep_bytes) {
    Fail(
        "{} has {} bytes, but the checkpoint was written when it had {}: the file was cut; resume "
        "from an older checkpoint or start a new run folder",
        path_.string(), size_, keep_bytes);
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(keep_bytes)) != 0) {
    Fail("cannot cut {}: {}", path_.string(), Reason());
  }
  size_ = keep_bytes;
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot write {}: {}", path_.string(), Reason());
    size_ += static_cast<std::uint64_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void AppendFile::Sync() {
  if (::fdatasync(descriptor_) != 0) Fail("cannot write {}: {}", path_.string(), Reason());
}

}  // namespace millrace::tracking
