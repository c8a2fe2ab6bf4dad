// What becomes of one picture at conversion: the one place that decides whether it is packed anew,
// kept as it came, repaired, made smaller or refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::pipeline {

struct PictureOptions {
  // Packs JPEGs anew without loss, with a region index; false: they stay byte for byte as they
  // came, where they are sound and Huffman-coded.
  bool region_index = true;

  // Of these two at most one; 0: off. Pictures are made smaller, never larger; those that are small
  // enough are treated as if it were off.
  std::uint32_t resize_short = 0;  // [pixels] of the shorter side
  std::uint32_t max_side = 0;      // [pixels] that the longer side has at most
  int quality = 90;                // 1..100, of the JPEGs of pictures that were made smaller

  // Repairs what can be repaired; false: whatever is not sound is a fault.
  bool repair = true;
};

// Payload and index are views into the PictureConverter or into the bytes that it was given, valid
// until its next Convert().
struct ConvertedPicture {
  std::span<const std::byte> payload = {};
  storage::RegionIndexView region_index = {};
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  storage::Subsampling subsampling = storage::Subsampling::kUnknown;
  std::uint32_t repairs = 0;  // bits of storage::Repair

  // For the report: what was found and what was done about it, in words. Both empty when nothing
  // was done but what the options ask for of every picture.
  std::string found = {};
  std::string done = {};
};

// Converts one picture after the other; memory is kept from one to the next. One per thread, one
// thread at a time.
//
// A picture made smaller is the result of Pillow's `resize` with antialiased bilinear filtering,
// encoded with 4:2:0 chroma or as gray. `resize_short` gives the longer side torchvision's length,
// rounded down; `max_side` is FFCV's max_resolution: the longer side gets that length, the shorter
// one is rounded down.
class PictureConverter {
 public:
  explicit PictureConverter(const PictureOptions& options);
  ~PictureConverter();
  PictureConverter(const PictureConverter&) = delete;
  PictureConverter& operator=(const PictureConverter&) = delete;

  // `name` is the file's, for words about it. Faults: no picture, another format than JPEG or PNG,
  // more pixels than the decoder takes (stages::kMostPixels), damage that libjpeg gets no picture
  // from; without `repair` any damage, CMYK, YCCK and PNG. After a fault the next picture may
  // follow.
  Result<ConvertedPicture> Convert(std::span<const std::byte> bytes, std::string_view name);

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

}  // namespace millrace::pipeline
