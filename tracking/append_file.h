// A file that a run appends to, and that a resumed run continues where it stood.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace millrace::tracking {

// Bytes reach the kernel before Append returns, so that kill -9 loses none. One thread at a time.
class AppendFile {
 public:
  // Opens or creates `path`, which keeps the bytes that it has.
  explicit AppendFile(std::filesystem::path path);
  // Also cuts it to `keep_bytes`. Throws Error when the file is shorter than that.
  AppendFile(std::filesystem::path path, std::uint64_t keep_bytes);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // One write call, short of a full disk. Throws Error naming the file and the system's reason.
  void Append(std::string_view bytes);

  // Returns when the disk has what was appended. Throws Error naming the file.
  void Sync();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // [bytes]

 private:
  const std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace millrace::tracking
