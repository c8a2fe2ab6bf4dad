// Writes tars, also tars within a tar: the layout in which ImageNet is distributed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "base/file.h"

namespace millrace::storage {

// POSIX ustar, the same bytes for the same members: no owner, no time. The file appears with
// Close(), complete and synced; without it nothing is left. One thread. Every function throws Error
// naming the path when the disk is full or the like.
class TarWriter {
 public:
  explicit TarWriter(const std::filesystem::path& path) : file_(path), path_(path) {}

  // A file of the tar, or of the tar within it that has been begun. REQUIRES: a name of 1 to 100
  // bytes
  void Add(std::string_view name, std::span<const std::byte> bytes);

  // What is added from here on goes into a tar of that name within this one, up to EndTar(). Its
  // size need not be known before. REQUIRES: not within a tar already
  void BeginTar(std::string_view name);
  void EndTar();

  // REQUIRES: not within a tar
  void Close();

 private:
  struct InnerTar {
    std::string name;
    std::uint64_t header = 0;  // where its header lies in the file
  };

  void Write(std::span<const std::byte> bytes);
  void WriteEnd();

  AtomicFile file_;
  std::filesystem::path path_;
  std::uint64_t size_ = 0;  // [bytes] written
  std::optional<InnerTar> inner_;
};

}  // namespace millrace::storage
