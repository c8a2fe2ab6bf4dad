// JPEGs made in memory for tests: every kind of file that libjpeg-turbo can write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <vector>

namespace millrace::testing {

enum class JpegColors : std::uint8_t { kYCbCr, kGray, kRgb, kCmyk };

struct JpegKind {
  const char* name = "420";
  int luma_h = 2;  // sampling factors of the first component; the others have 1
  int luma_v = 2;
  JpegColors colors = JpegColors::kYCbCr;
  bool progressive = false;
  bool arithmetic = false;
  bool separate_scans = false;  // one scan per component, still baseline
  int restart_interval = 0;     // [MCUs]
  int quality = 90;
};

inline void PrintTo(const JpegKind& kind, std::ostream* out) { *out << kind.name; }

// A picture of soft shades with sharp edges and noise in it, the same for the same arguments.
std::vector<std::byte> MakeJpeg(const JpegKind& kind, int width, int height, std::uint64_t seed);

// Where the scan data of every scan begins: the offsets of the SOS markers.
std::vector<std::size_t> FindScans(const std::vector<std::byte>& jpeg);

}  // namespace millrace::testing
