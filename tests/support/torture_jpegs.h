// JPEGs of all the kinds that decoders must know and encoders may write, made on the spot: for
// whatever has to come to terms with all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"

namespace millrace::test {

struct TortureJpeg {
  std::string name;  // what is special about it
  std::vector<std::byte> bytes;
};

// Sound pictures that libjpeg-turbo decodes without a complaint: every sampling in every coding,
// sizes from 1x1, restart markers, separate scans, Huffman tables made for them, 16-bit quantisers,
// metadata, bytes behind the end. The same bytes at each call.
std::vector<TortureJpeg> MakeTortureJpegs();

// Few and small ones, for fuzzers to begin with.
std::vector<TortureJpeg> MakeFuzzSeeds();

// The same picture, made special.
//
// With quantisers of 16 bits (times 3, which is no longer the same picture) and the frame header
// that allows them.
std::vector<std::byte> WithWideQuantizers(std::span<const std::byte> jpeg);
// With an EXIF segment that asks for an orientation.
std::vector<std::byte> WithOrientation(std::span<const std::byte> jpeg, unsigned orientation,
                                       bool big_endian);
// Progressive pictures only: without the last `scans` scans, and with an end.
std::vector<std::byte> WithoutLastScans(std::span<const std::byte> jpeg, std::size_t scans);
// With one to three bits flipped, wherever `random` says.
std::vector<std::byte> WithFlippedBits(std::span<const std::byte> jpeg, RandomStream* random);
// Cut off at `size` bytes.
std::vector<std::byte> CutOff(std::span<const std::byte> jpeg, std::size_t size);

}  // namespace millrace::test
