// Whether a payload is a whole picture, JPEG or PNG, and what its header says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::storage {

// What a record says of its picture, as the picture itself says it.
struct PayloadInfo {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  Subsampling subsampling = Subsampling::kUnknown;

  bool operator==(const PayloadInfo&) const = default;
};

// Decodes everything. Faults as those of CheckJpeg() and CheckPngPayload().
Result<PayloadInfo> CheckPayloadPicture(std::span<const std::byte> payload);

// What a file of the payload is called at its end: ".jpg" or ".png".
std::string_view PayloadExtension(std::span<const std::byte> payload);

}  // namespace millrace::storage
