#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace millrace {
namespace {

std::string Reason() { return std::generic_category().message(errno); }

// As soon as so much has come the disk is told to write it.
constexpr std::size_t kWriteBehindBytes = std::size_t{1} << 20;

// Closes a descriptor at the end of a scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string ReadFile(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) Fail("cannot open {}: {}", path.string(), Reason());
  std::string text;
  struct stat info {};
  if (::fstat(file.get(), &info) == 0 && info.st_size > 0) {
    text.reserve(static_cast<std::size_t>(info.st_size));
  }
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot read {}: {}", path.string(), Reason());
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(path_.string() + ".tmp"),
      descriptor_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) Fail("cannot create {}: {}", temporary_.string(), Reason());
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::Reserve(std::uint64_t bytes) {
  if (::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<::off_t>(bytes)) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    Fail("cannot write {}: {}", path_.string(), Reason());
  }
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  unwritten_bytes_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot write {}: {}", path_.string(), Reason());
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  if (unwritten_bytes_ < kWriteBehindBytes) return;
  unwritten_bytes_ = 0;
  // Only a beginning: what it fails at, the sync will tell.
  ::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void AtomicFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<::off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot write {}: {}", path_.string(), Reason());
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void AtomicFile::Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }

void AtomicFile::Commit() {
  if (::fsync(descriptor_) != 0) Fail("cannot sync {}: {}", path_.string(), Reason());
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    const std::string reason = Reason();
    ::unlink(temporary_.c_str());
    Fail("cannot close {}: {}", path_.string(), reason);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string reason = Reason();
    ::unlink(temporary_.c_str());
    Fail("cannot rename {} to {}: {}", temporary_.string(), path_.string(), reason);
  }
  SyncFolder(path_.has_parent_path() ? path_.parent_path() : ".");
}

void WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

void SyncFolder(const std::filesystem::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some network file systems refuse to sync a folder (EINVAL); there the rename is as safe as it
  // gets.
  if (descriptor.get() < 0 || (::fsync(descriptor.get()) != 0 && errno != EINVAL)) {
    Fail("cannot sync the folder {}: {}", folder.string(), Reason());
  }
}

void CreateFolders(const std::filesystem::path& folder) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) Fail("cannot create the folder {}: {}", folder.string(), code.message());
  if (!std::filesystem::is_directory(folder, code)) {
    Fail("cannot create the folder {}: a file of that name is in its place", folder.string());
  }
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) Fail("cannot open {}: {}", path.string(), Reason());
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) Fail("cannot read {}: {}", path.string(), Reason());
  if (!S_ISREG(info.st_mode)) Fail("cannot read {}: not a regular file", path.string());
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) Fail("cannot map {}: {}", path.string(), Reason());
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace millrace
