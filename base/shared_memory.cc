#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <utility>

#include "base/error.h"

namespace millrace {
namespace {

std::filesystem::path PathOf(::pid_t process, int descriptor) {
  return fmt::format("/proc/{}/fd/{}", process, descriptor);
}

// Which file it is, so that another one that got the same numbers later is not taken for it.
std::uint64_t Identity(int descriptor) {
  struct stat info {};
  return ::fstat(descriptor, &info) == 0 ? info.st_ino : 0;
}

// Takes the descriptor over.
std::span<std::byte> Map(int descriptor, std::size_t bytes) {
  void* const data =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, /*offset=*/0);
  if (data == MAP_FAILED) {
    const int reason = errno;
    ::close(descriptor);
    Fail("{} bytes of memory between processes cannot be mapped: {}", bytes, std::strerror(reason));
  }
  return {static_cast<std::byte*>(data), bytes};
}

}  // namespace

SharedMemory SharedMemory::Create(std::size_t bytes) {
  const int descriptor = ::memfd_create("millrace", MFD_CLOEXEC);
  if (descriptor < 0) Fail("there is no memory between processes: {}", std::strerror(errno));
  if (::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) {
    const int reason = errno;
    ::close(descriptor);
    Fail("there are no {} bytes of memory between processes: {}", bytes, std::strerror(reason));
  }
  return SharedMemory(descriptor, Map(descriptor, bytes));
}

SharedMemory SharedMemory::Open(const std::string& address) {
  std::istringstream fields(address);
  ::pid_t process = 0;
  int number = -1;
  std::size_t bytes = 0;
  std::uint64_t identity = 0;
  if (!(fields >> process >> number >> bytes >> identity) || bytes == 0) {
    Fail("no address of memory between processes: {}", address);
  }
  const auto path = PathOf(process, number);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) {
    Fail("memory of process {} cannot be opened: {}: {}", process, path.string(),
         std::strerror(errno));
  }
  if (Identity(descriptor) != identity) {
    ::close(descriptor);
    Fail("memory of process {} is gone: {} is another file", process, path.string());
  }
  return SharedMemory(descriptor, Map(descriptor, bytes));
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), bytes_(std::exchange(other.bytes_, {})) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (descriptor_ < 0) return;
  ::munmap(bytes_.data(), bytes_.size());
  ::close(descriptor_);
}

std::string SharedMemory::address() const {
  return fmt::format("{} {} {} {}", ::getpid(), descriptor_, bytes_.size(), Identity(descriptor_));
}

std::filesystem::path SharedMemory::path() const { return PathOf(::getpid(), descriptor_); }

}  // namespace millrace
