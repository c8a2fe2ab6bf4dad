// Files written so that a kill, a full disk or a power cut leaves either the old file or the new
// one, never a half.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

// The whole file. Throws Error naming the path when it cannot be read.
std::string ReadFile(const std::filesystem::path& path);

// A file under construction. Bytes go to "<path>.tmp" beside the final name; Commit() syncs the
// file, renames it over `path` and syncs the folder. Without Commit() the destructor removes the
// temporary file and `path` stays as it was. The disk begins to write while the file grows, so that
// Commit() need not wait for all of it. Every failure throws an Error that names the path and the
// system's reason (full disk, permissions).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Takes the room for so many bytes to come, so that a full disk says so before they are made. Not
  // every file system can; it then is no error.
  void Reserve(std::uint64_t bytes);
  // Appends.
  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);
  // Replaces bytes that were written. REQUIRES: they were
  void WriteAt(std::uint64_t offset, std::span<const std::byte> bytes);
  void Commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::size_t unwritten_bytes_ = 0;  // since the disk was last told to write
};

// AtomicFile, Write and Commit in one call.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// Makes a rename or removal in `folder` survive a power cut. Throws Error.
void SyncFolder(const std::filesystem::path& folder);

// Creates the folder and its parents; Error naming it when that fails or when a file stands in its
// place.
void CreateFolders(const std::filesystem::path& folder);

// A file mapped read-only into memory. Bytes stay valid while the object lives.
class MappedFile {
 public:
  // Throws Error when the file cannot be opened or mapped. An empty file maps to an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace millrace
