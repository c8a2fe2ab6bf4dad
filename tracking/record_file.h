// The framing of TensorFlow's record files: a length, a checksum of it, the bytes, a checksum of
// them. TensorBoard's event files and the journals of remote trackers have it.
//
// A record is: length (8 bytes, little-endian), masked CRC-32C of these 8 bytes, data, masked
// CRC-32C of the data, as in tensorflow/core/lib/io/record_writer.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::tracking {

// CRC-32C (Castagnoli) of the bytes.
std::uint32_t Crc32c(std::string_view bytes);

// Appends `data`, framed, to `to`.
void AppendRecord(std::string_view data, std::string* to);

// Records one after the other in bytes that a killed process or a power cut may have cut anywhere.
// The bytes must stay while it is used.
class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : bytes_(bytes) {}

  // The next whole record; nullopt at the end, and from the first damaged or incomplete record on,
  // behind which nothing can be found.
  std::optional<std::string_view> Next();

  // Where the last record that was returned ends [bytes].
  std::size_t position() const { return position_; }
  // Whether everything up to the end of the bytes was records.
  bool whole() const { return position_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  std::size_t position_ = 0;
};

}  // namespace millrace::tracking
