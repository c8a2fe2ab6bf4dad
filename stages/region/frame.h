// What the region decoder must know of a stored JPEG before its segments: sizes, sampling,
// quantisers and Huffman codes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "stages/geometry.h"
#include "storage/huffman_decoder.h"
#include "storage/jpeg_frame.h"

namespace millrace::stages::region {

// A colour plane: luma (or grey) first, then blue and red chroma.
struct PlaneFrame {
  int h = 1;  // sampling factors: blocks in an MCU
  int v = 1;
  Size samples;  // of the plane, without what completes its last blocks
  std::array<std::uint16_t, storage::kBlockSize> quantizers{};  // in natural order
  std::size_t dc_table = 0;
  std::size_t ac_table = 0;
};

struct Frame {
  Size picture;
  Size mcu;            // [pixels]
  int num_planes = 0;  // 1 or 3
  std::array<PlaneFrame, 3> planes;
  std::array<storage::HuffmanTable, 2> dc_tables;
  std::array<storage::HuffmanTable, 2> ac_tables;
  unsigned restart_interval = 0;  // [MCUs]
  std::size_t scan = 0;           // where the first segment begins [bytes]
};

// Nothing where a decoder would need more than this to know the pixels: a picture that is not
// sequential, grey or YCbCr of 8 bits in one scan, sampled 4:4:4, 4:2:2, 4:2:0 or 4:4:0; quantisers
// of 16 bits or 0; chroma so narrow that libjpeg does not interpolate it; a table that is missing;
// any marker segment that the re-packer does not write.
std::optional<Frame> ReadFrame(std::span<const std::byte> jpeg);

}  // namespace millrace::stages::region
