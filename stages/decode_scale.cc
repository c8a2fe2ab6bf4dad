#include "stages/decode_scale.h"

#include "storage/png_picture.h"

namespace millrace::stages {

DecodeMode ReadDecodeMode(const Params& decode) {
  return decode.Choice("mode", {"exact", "fast"}, "exact") == "fast" ? DecodeMode::kFast
                                                                     : DecodeMode::kExact;
}

Size ScaledSize(Size picture, int scale) {
  const auto along = [scale](int pixels) { return (pixels * scale + kFullScale - 1) / kFullScale; };
  return {along(picture.width), along(picture.height)};
}

int ChooseScale(DecodeMode mode, const storage::RecordView& record, const Geometry& geometry) {
  if (mode == DecodeMode::kExact || geometry.mode == ResizeMode::kOpenCv) return kFullScale;
  if (storage::IsPng(record.payload)) return kFullScale;
  const auto covers = [&](int scale) {
    return geometry.crop.width * scale / kFullScale >= geometry.resized.width &&
           geometry.crop.height * scale / kFullScale >= geometry.resized.height;
  };
  for (const int scale : {1, 2, 4}) {
    if (covers(scale)) return scale;
  }
  return kFullScale;
}

}  // namespace millrace::stages
