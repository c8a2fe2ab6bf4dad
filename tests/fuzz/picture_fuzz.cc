// Any bytes as a picture to be converted: what is stored of it must be whole, and what its record
// says of it true. The first byte chooses the options.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "pipeline/convert_picture.h"
#include "stages/decode.h"
#include "storage/payload_check.h"

namespace millrace {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

void Convert(std::span<const std::byte> bytes, std::uint8_t choice) {
  const pipeline::PictureOptions options{.region_index = (choice & 1) == 0,
                                         .resize_short = (choice & 2) != 0 ? 20u : 0u,
                                         .max_side = (choice & 6) == 4 ? 20u : 0u,
                                         .repair = (choice & 8) == 0};
  pipeline::PictureConverter converter(options);
  const auto picture = converter.Convert(bytes, "fuzz.JPEG");
  if (!picture) {
    Require(!picture.fault().message.empty(), "a fault has words");
    return;
  }
  Require(picture->found.empty() == picture->done.empty(), "what was found and done go together");
  const auto info = storage::CheckPayloadPicture(picture->payload);
  Require(info.ok(), "what is stored is whole");
  Require(info->width == picture->width && info->height == picture->height, "its size is true");
  Require(info->subsampling == picture->subsampling, "its sampling is true");
  stages::Decoder decoder;
  stages::Image image;
  Require(decoder.DecodeFull(picture->payload, &image).ok(), "the decoder takes it");
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  millrace::Convert(std::as_bytes(std::span(data + 1, size - 1)), data[0]);
  return 0;
}
