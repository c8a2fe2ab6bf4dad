#include "storage/payload_check.h"

#include "storage/jpeg_info.h"
#include "storage/png_picture.h"

namespace millrace::storage {

Result<PayloadInfo> CheckPayloadPicture(std::span<const std::byte> payload) {
  if (IsPng(payload)) {
    const Result<PngInfo> png = CheckPngPayload(payload);
    if (!png) return png.fault();
    return PayloadInfo{.width = png->width,
                       .height = png->height,
                       .subsampling = png->gray ? Subsampling::kGray : Subsampling::kUnknown};
  }
  const Result<JpegInfo> jpeg = CheckJpeg(payload);
  if (!jpeg) return jpeg.fault();
  return PayloadInfo{
      .width = jpeg->width, .height = jpeg->height, .subsampling = jpeg->subsampling};
}

std::string_view PayloadExtension(std::span<const std::byte> payload) {
  return IsPng(payload) ? ".png" : ".jpg";
}

}  // namespace millrace::storage
