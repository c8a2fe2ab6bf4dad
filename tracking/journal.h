// What a remote tracker has still to be told, on disk: it outlasts outages of the server and ends
// of the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/append_file.h"

namespace millrace::tracking {

// Entries in the order in which they were appended, numbered from 1 on, until they are
// acknowledged.
//
// In the folder: segments "<number of the first entry>.log" of framed records (record_file.h), each
// an entry's number (8 bytes, little-endian) and its bytes; and "acknowledged", the number of the
// last entry that was delivered, and a note. A killed process loses nothing. A power cut may lose
// entries that had not reached the disk: what is left is found, and the gap is told.
//
// Threads: one may append while another reads and acknowledges. One process at a time.
class Journal {
 public:
  struct Limits {
    std::uint64_t bytes = std::uint64_t{256} << 20;        // of all segments
    std::uint64_t segment_bytes = std::uint64_t{1} << 20;  // room is given back in such pieces
  };
  struct Entry {
    std::uint64_t number = 0;
    std::string bytes;
  };

  // Opens or makes the folder, and calls `on_waiting` for every entry that waits there. Throws
  // Error naming the file that cannot be read, cut or made.
  Journal(std::filesystem::path folder, const Limits& limits,
          const std::function<void(const Entry&)>& on_waiting);

  // False: there is no room within `share` (0 to 1) of the limit, and the entry is not kept. Throws
  // Error naming the file when it cannot be written; the journal is as before then.
  bool Append(std::string_view bytes, double share = 1);

  // The next entries in order: at most `entries` and, but for the first, `bytes`. Each is returned
  // once; after a restart those that were not acknowledged come again.
  std::vector<Entry> Read(std::size_t entries, std::size_t bytes);

  // All entries up to this number were delivered. `note` replaces the earlier one. Throws Error
  // naming the file when that cannot be written down.
  void Acknowledge(std::uint64_t number, std::string_view note);

  const std::filesystem::path& folder() const { return folder_; }
  // Of the last acknowledgement, as the journal was opened.
  const std::string& note() const { return note_; }
  // Entries that a power cut took, found when the journal was opened.
  std::uint64_t missing() const { return missing_; }
  // Entries that are not acknowledged.
  std::uint64_t waiting() const;

 private:
  struct Segment {
    std::filesystem::path path;
    std::uint64_t last = 0;   // number of its last entry; 0: none yet
    std::uint64_t bytes = 0;  // size of the file
  };

  void ReadAcknowledged();
  void OpenSegment(const std::filesystem::path& path,
                   const std::function<void(const Entry&)>& on_waiting);
  void StartSegment();
  void DropDelivered();

  const std::filesystem::path folder_;
  const Limits limits_;
  std::string note_;
  std::uint64_t missing_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<Segment> segments_;
  std::unique_ptr<AppendFile> file_;  // the last segment; null: the next entry begins one
  std::uint64_t bytes_ = 0;           // of all segments
  std::uint64_t last_ = 0;            // number of the last entry
  std::uint64_t acknowledged_ = 0;
  std::uint64_t waiting_ = 0;
  std::deque<std::uint64_t> delivering_;  // entries that were read, not yet acknowledged
  std::uint64_t read_ = 0;                // number of the last entry that was read
  std::string reading_;                   // the segment that is read, as far as it had come
  std::uint64_t reading_last_ = 0;        // `last` of the segment when it was taken into `reading_`
  std::size_t position_ = 0;              // in reading_
};

}  // namespace millrace::tracking
