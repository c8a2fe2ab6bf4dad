// Memory that processes of one machine share. It has no name, so that nothing is left behind
// however they end.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace millrace {

// Memory of the system's (memfd), mapped into this process; it goes with the last process that maps
// it. Move-only; any thread.
class SharedMemory {
 public:
  // Zeros; the machine's memory is taken page by page when they are first touched. Throws Error.
  // REQUIRES: bytes > 0
  static SharedMemory Create(std::size_t bytes);
  // The memory that another object, of this or another process, gave `address` for. Throws Error
  // when that object or its process is gone, or is not of this user and machine.
  static SharedMemory Open(const std::string& address);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  std::span<std::byte> bytes() const { return bytes_; }
  // What Open() takes, as long as this object lives. One line.
  std::string address() const;
  // Where the file behind it can be opened as long as this object lives.
  std::filesystem::path path() const;

 private:
  SharedMemory(int descriptor, std::span<std::byte> bytes)
      : descriptor_(descriptor), bytes_(bytes) {}

  int descriptor_;  // -1: moved from
  std::span<std::byte> bytes_;
};

}  // namespace millrace
