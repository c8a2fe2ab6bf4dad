#include "storage/shard_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace millrace::storage {
namespace {

// Large enough for the full rate of disks and networks, small enough that a stop is heeded at once.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

std::string Reason(int error) { return std::generic_category().message(error); }

// The file that is copied.
class Source {
 public:
  explicit Source(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ >= 0) (void)::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~Source() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  bool ok() const { return descriptor_ >= 0; }

  // Fills the piece as far as there is something left; -1 and errno when it cannot.
  ssize_t Read(std::span<std::byte> piece) {
    // The next piece travels while this one is hashed and written.
    (void)::posix_fadvise(descriptor_, static_cast<::off_t>(read_ + piece.size()),
                          static_cast<::off_t>(piece.size()), POSIX_FADV_WILLNEED);
    std::size_t filled = 0;
    while (filled < piece.size()) {
      const ssize_t count = ::read(descriptor_, piece.data() + filled, piece.size() - filled);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return -1;
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    read_ += filled;
    return static_cast<ssize_t>(filled);
  }

  // From now on the copy is read: memory is for its pages.
  void DropPages() const { (void)::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED); }

 private:
  int descriptor_;
  std::uint64_t read_ = 0;  // [bytes]
};

}  // namespace

std::string CopyFolderName(std::string_view split, const SplitInfo& info) {
  Hasher hasher;
  for (const ShardInfo& shard : info.shards) {
    hasher.AddU64(shard.file.size());
    hasher.Add(shard.file);
    hasher.AddU64(shard.bytes);
    hasher.AddU64(shard.hash);
  }
  return fmt::format("{}-{}", split, HashToHex(hasher.Digest()));
}

bool HasCopy(const std::filesystem::path& path, const ShardInfo& info) {
  std::error_code code;
  return std::filesystem::file_size(path, code) == info.bytes && !code;
}

Result<bool> CopyShard(const std::filesystem::path& from, const ShardInfo& info,
                       const std::filesystem::path& to, const std::stop_token& stop) {
  Source source(from);
  if (!source.ok()) return MakeFault("cannot open {}: {}", from.string(), Reason(errno));
  AtomicFile copy(to);
  copy.Reserve(info.bytes);
  const auto buffer = std::make_unique<std::byte[]>(kPieceBytes);
  Hasher hasher;
  std::uint64_t copied = 0;
  for (;;) {
    if (stop.stop_requested()) return false;
    const ssize_t count = source.Read({buffer.get(), kPieceBytes});
    if (count < 0) return MakeFault("cannot read {}: {}", from.string(), Reason(errno));
    if (count == 0) break;
    const std::span piece(buffer.get(), static_cast<std::size_t>(count));
    hasher.Add(piece);
    copy.Write(piece);
    copied += piece.size();
    if (copied > info.bytes) break;
  }
  if (copied != info.bytes || hasher.Digest() != info.hash) {
    return MakeFault("{} is not what manifest.json says ({}); run `millrace verify` on the dataset",
                     from.string(), copied == info.bytes ? "its hash differs" : "its size differs");
  }
  copy.Commit();
  source.DropPages();
  return true;
}

}  // namespace millrace::storage
