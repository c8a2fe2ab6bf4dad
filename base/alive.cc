#include "base/alive.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace millrace {
namespace {

// Beyond all that the file holds.
constexpr off_t kFirstPlace = off_t{1} << 40;

struct flock PlaceOf(std::uint32_t process) {
  struct flock place {};
  place.l_type = F_WRLCK;
  place.l_whence = SEEK_SET;
  place.l_start = kFirstPlace + process;
  place.l_len = 1;
  return place;
}

}  // namespace

Alive::Alive(const std::filesystem::path& file, std::uint32_t process)
    : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) {
    Fail("the store of the ranks cannot be opened: {}: {}", file.string(), std::strerror(errno));
  }
  struct flock place = PlaceOf(process);
  if (::fcntl(descriptor_, F_OFD_SETLK, &place) == 0) return;
  const int reason = errno;
  ::close(descriptor_);
  if (reason == EAGAIN || reason == EACCES) {
    Fail("there are two processes with the number {} at {}: each run needs a store of its own",
         process, file.string());
  }
  Fail("{} cannot be locked: {}; put the store of the ranks on a disk of this machine",
       file.string(), std::strerror(reason));
}

Alive::~Alive() { ::close(descriptor_); }

bool Alive::Has(std::uint32_t process) const {
  struct flock place = PlaceOf(process);
  // Own locks do not count as others': who asks for itself runs.
  return ::fcntl(descriptor_, F_OFD_GETLK, &place) != 0 || place.l_type != F_UNLCK;
}

}  // namespace millrace
