#include "storage/sources/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace millrace::storage {
namespace {

std::string Reason() { return std::generic_category().message(errno); }

}  // namespace

// O_NONBLOCK: a pipe without a writer must be refused, not waited for.
InputFile::InputFile(std::filesystem::path path)
    : path_(std::move(path)),
      descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) Fail("cannot open {}: {}", path_.string(), Reason());
  struct stat info {};
  const bool known = ::fstat(descriptor_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    const std::string reason = known ? "not a regular file" : Reason();
    ::close(descriptor_);
    Fail("cannot read {}: {}", path_.string(), reason);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
  modified_ns_ = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

InputFile::~InputFile() { ::close(descriptor_); }

std::size_t InputFile::ReadAt(std::uint64_t position, std::span<std::byte> into) const {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count = ::pread(descriptor_, into.data() + done, into.size() - done,
                                  static_cast<off_t>(position + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot read {}: {}", path_.string(), Reason());
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace millrace::storage
