#include "tests/support/full_decode.h"

#include <csetjmp>
#include <cstdio>

// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>

namespace millrace::test {
namespace {

// Trivially destructible, as all that longjmp crosses.
struct Judge {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf escape{};
};

void Decode(Judge& judge, std::span<const std::byte> jpeg, std::size_t most_pixels,
            unsigned eighths, FullDecode* result) {
  jpeg_decompress_struct& info = judge.info;
  if (setjmp(judge.escape) != 0) {
    result->complains = true;
    return;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
  jpeg_read_header(&info, TRUE);
  if (std::size_t{info.image_width} * info.image_height > most_pixels) return;
  info.scale_num = eighths;
  info.scale_denom = 8;
  jpeg_start_decompress(&info);
  result->width = static_cast<int>(info.output_width);
  result->height = static_cast<int>(info.output_height);
  result->channels = info.output_components;
  const std::size_t row_bytes =
      std::size_t{info.output_width} * static_cast<std::size_t>(info.output_components);
  result->pixels.resize(row_bytes * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = result->pixels.data() + info.output_scanline * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  result->has_picture = true;
  result->complains = judge.errors.num_warnings > 0;
  jpeg_finish_decompress(&info);
  result->complains = judge.errors.num_warnings > 0;
}

}  // namespace

FullDecode DecodeFully(std::span<const std::byte> jpeg, std::size_t most_pixels, unsigned eighths) {
  FullDecode result;
  Judge judge;
  judge.info.err = jpeg_std_error(&judge.errors);
  judge.info.client_data = &judge;
  judge.errors.error_exit = [](j_common_ptr info) {
    std::longjmp(static_cast<Judge*>(info->client_data)->escape, 1);
  };
  judge.errors.output_message = [](j_common_ptr) {};
  Decode(judge, jpeg, most_pixels, eighths, &result);
  jpeg_destroy_decompress(&judge.info);
  return result;
}

}  // namespace millrace::test
