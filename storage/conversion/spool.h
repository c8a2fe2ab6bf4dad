// Converted pictures on their way from the sources to the shards: files of self-checking frames, to
// which a conversion appends and which a later run takes up. FORMAT.md, "Conversion".
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "storage/record_view.h"
#include "storage/sources/input_file.h"

namespace millrace::storage {

// Where a picture comes from: which of the sources, and its position there.
struct SourcePlace {
  std::uint32_t source = 0;
  std::uint64_t position = 0;

  auto operator<=>(const SourcePlace&) const = default;
};

// A picture, converted or left out. Texts and payload are views.
struct SpoolEntry {
  std::string_view class_id;  // empty where a picture that is left out has none
  std::string_view origin;    // where the user finds it
  std::string_view found;     // for the report: what was found and what was done about it; empty
  std::string_view done;      // when there is nothing to say
  RecordView record;          // the label is not known yet and payload_hash not used
};

// What a frame says in front.
struct FrameFacts {
  std::uint64_t deal_key = 0;
  SourcePlace place;
  std::uint64_t source_bytes = 0;  // of the picture as it came
};

// A frame in its file.
struct FramePlace {
  FrameFacts facts;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;   // of the frame
};

// The bytes of a frame, with a hash over all of them.
std::vector<std::byte> MakeFrame(const FrameFacts& facts, const SpoolEntry& entry);

// Appends frames to a file, which is created by the first. Any thread; one frame at a time. Throws
// Error naming the file (full disk, permissions); what a failure or a kill leaves behind is a frame
// cut short at the end, which RecoverSpool() drops.
class SpoolWriter {
 public:
  explicit SpoolWriter(std::filesystem::path path) : path_(std::move(path)) {}
  ~SpoolWriter();
  SpoolWriter(const SpoolWriter&) = delete;
  SpoolWriter& operator=(const SpoolWriter&) = delete;

  void Append(std::span<const std::byte> frame);

  // After this the frames survive a power cut.
  void Sync();

 private:
  bool Write(std::span<const std::byte> frame);

  const std::filesystem::path path_;
  std::mutex mutex_;
  int descriptor_ = -1;  // opened under mutex_, and then the same to the end
  // Guarded by mutex_.
  std::size_t unwritten_bytes_ = 0;  // since the disk was last told to write
};

using FrameVisitor = std::function<void(const FramePlace&)>;

// Checks a file that an interrupted run has left, cuts it off behind the last frame that is whole,
// and names all frames before. Nothing happens when there is no such file. Memory: one frame.
// Throws Error when the file cannot be read or cut.
void RecoverSpool(const std::filesystem::path& path, const FrameVisitor& visit);

// Reads a finished file. Any thread.
class SpoolReader {
 public:
  // Throws Error when the file cannot be opened.
  explicit SpoolReader(const std::filesystem::path& path) : file_(path) {}

  // Names all frames; their contents are not touched. Throws Error naming the file when there is
  // something else than frames in it.
  void List(const FrameVisitor& visit) const;

  // The entry of a frame, as views into `buffer`. Throws Error when it is damaged.
  SpoolEntry Read(const FramePlace& frame, std::vector<std::byte>* buffer) const;

 private:
  InputFile file_;
};

}  // namespace millrace::storage
