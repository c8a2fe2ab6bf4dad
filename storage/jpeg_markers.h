// The marker segments in front of a JPEG's first scan: what they say about the picture besides its
// pixels, and how to be rid of it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace millrace::storage {

// The orientation that the EXIF data asks for, 2..8; 1 (as it is) when there is none or it makes no
// sense.
int ExifOrientation(std::span<const std::byte> jpeg);

// The JPEG without the comments and application data that decoders of pixels pass over: all but
// JFIF's and Adobe's. What it does not understand it leaves alone.
std::vector<std::byte> WithoutMetadata(std::span<const std::byte> jpeg);

}  // namespace millrace::storage
