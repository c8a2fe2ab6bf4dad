// Pictures for tests, made on the spot: any size, sampling and coding that libjpeg-turbo can write,
// the same bytes for the same spec.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace millrace::test {

// The colour planes of a JPEG and how finely they are sampled.
enum class Planes : std::uint8_t {
  kGray,
  kGray2x2,  // one plane that claims the sampling factors 2x2, which mean nothing there
  k444,
  k422,
  k420,
  k440,
  k441,
  k411,
  k410,
  kRgb,   // three planes stored as RGB (Adobe marker), no YCbCr
  kCmyk,  // four planes, Adobe marker, as Photoshop writes them
  kYcck,
};

struct JpegSpec {
  int width = 48;          // [pixels]
  int height = 40;         // [pixels]
  std::uint64_t seed = 1;  // of the picture's content
  Planes planes = Planes::k420;
  int quality = 90;
  bool progressive = false;
  bool arithmetic = false;        // arithmetic coding instead of Huffman
  bool optimize = false;          // Huffman tables made for this picture
  bool separate_scans = false;    // one scan per plane, still baseline
  unsigned restart_interval = 0;  // [MCUs] between restart markers; 0: none
  std::string_view comment = {};  // text of a COM marker; none when empty
};

// Interleaved RGB rows without padding: a gradient with a few rectangles and some noise, so that
// both smooth areas and edges occur. REQUIRES: sizes >= 1
std::vector<std::uint8_t> MakePixels(int width, int height, std::uint64_t seed);

// A complete JPEG file.
std::vector<std::byte> MakeJpeg(const JpegSpec& spec = {});

// Where the scan data of every scan begins: the offsets of the SOS markers.
std::vector<std::size_t> FindScans(std::span<const std::byte> jpeg);

// A complete PNG file of 8-bit RGB pixels.
std::vector<std::byte> MakePng(int width, int height, std::uint64_t seed);

// Writes `bytes` as `path`, creating its folders.
void WriteBytes(const std::filesystem::path& path, std::span<const std::byte> bytes);
void WriteText(const std::filesystem::path& path, std::string_view text);

// An image folder: `<root>/<class>/<class>_<i>.JPEG` with pictures of various sizes and samplings.
// Class names are "n000", "n001", ...; the content depends on `seed`, class and i.
void MakeImageFolder(const std::filesystem::path& root, int num_classes, int per_class,
                     std::uint64_t seed = 1);

}  // namespace millrace::test
