// Pixels into a JPEG, for pictures whose pixels are new: made smaller at conversion, or made up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "storage/record_view.h"

namespace millrace::storage {

inline constexpr std::uint32_t kMaxJpegSide = 65500;  // [pixels], libjpeg's limit

struct JpegEncoding {
  int quality = 90;                             // 1..100, of libjpeg's scale
  Subsampling subsampling = Subsampling::k420;  // or k444 or kGray
};

// A baseline JPEG of uint8 [height, width, 3] RGB rows without padding, with the usual Huffman
// tables and the accurate transform. The same bytes for the same pixels. kGray stores the luminance
// alone, exactly the value of three equal channels. REQUIRES: sizes in 1..kMaxJpegSide, as many
// pixels as they say
std::vector<std::byte> EncodeJpeg(std::span<const std::uint8_t> rgb, std::uint32_t width,
                                  std::uint32_t height, const JpegEncoding& encoding);

// The planes of a picture, as a JPEG holds them: luminance first, then the two of chroma (none for
// kGray), which have half the width and height with k420. Rows and columns go on to whole MCUs.
struct YccPlanes {
  struct Plane {
    std::vector<std::uint8_t> samples;  // [rows, stride]
    std::uint32_t stride = 0;
    std::uint32_t rows = 0;
  };

  std::uint32_t width = 0;   // [pixels], of the picture
  std::uint32_t height = 0;  // [pixels]
  std::vector<Plane> planes;

  // Makes room for the planes of a picture; samples are undefined.
  void Resize(std::uint32_t picture_width, std::uint32_t picture_height, Subsampling subsampling);
};

// The same of planes, without a conversion of colours. REQUIRES: planes as Resize() makes them for
// encoding.subsampling
std::vector<std::byte> EncodeJpeg(const YccPlanes& planes, const JpegEncoding& encoding);

}  // namespace millrace::storage
