// A large file that is read at any position: archives that may not fit into memory or a map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace millrace::storage {

// An open file. A map would count as memory of the process and turn a file cut off meanwhile into a
// signal, hence plain reads. Threads may read at the same time.
class InputFile {
 public:
  // Throws Error when the file cannot be opened or is no regular file.
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Fills `into` from `position` on and returns the bytes read: fewer than asked for only at the
  // end of the file. Throws Error naming the file when the system cannot read it.
  std::size_t ReadAt(std::uint64_t position, std::span<std::byte> into) const;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }               // [bytes] when it was opened
  std::int64_t modified_ns() const { return modified_ns_; }  // time of the last change

 private:
  std::filesystem::path path_;
  int descriptor_;
  std::uint64_t size_ = 0;
  std::int64_t modified_ns_ = 0;
};

}  // namespace millrace::storage
