#include "tests/support/make_jpeg.h"

#include <jpeglib.h>
#include <cstdio>  // jpeglib.h needs it first
#include <cstdlib>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace millrace::testing {

namespace {

std::vector<std::uint8_t> Paint(int width, int height, int channels, std::uint64_t seed) {
  RandomStream random(RandomKey{.seed = seed}, 0);
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(width) * static_cast<std::size_t>(height * channels));
  const double wave = random.Uniform(5.0, 40.0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int channel = 0; channel < channels; ++channel) {
        double value = 127 + 80 * std::sin((x + channel * 11) / wave) * std::cos(y / wave);
        if ((x / 13 + y / 7 + channel) % 5 == 0) value = 255 - value;
        value += random.Uniform(-12.0, 12.0);
        pixels.push_back(static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0)));
      }
    }
  }
  return pixels;
}

}  // namespace

std::vector<std::byte> MakeJpeg(const JpegKind& kind, int width, int height, std::uint64_t seed) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);  // prints and exits: a test that asks for nonsense
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  const bool gray = kind.colors == JpegColors::kGray;
  const bool cmyk = kind.colors == JpegColors::kCmyk;
  info.input_components = gray ? 1 : cmyk ? 4 : 3;
  info.in_color_space = gray ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  if (kind.colors == JpegColors::kRgb) jpeg_set_colorspace(&info, JCS_RGB);
  jpeg_set_quality(&info, kind.quality, TRUE);
  info.comp_info[0].h_samp_factor = kind.luma_h;
  info.comp_info[0].v_samp_factor = kind.luma_v;
  for (int i = 1; i < info.num_components; ++i) {
    info.comp_info[i].h_samp_factor = 1;
    info.comp_info[i].v_samp_factor = 1;
  }
  info.restart_interval = static_cast<unsigned>(kind.restart_interval);
  info.arith_code = kind.arithmetic ? TRUE : FALSE;
  jpeg_scan_info scans[4];
  if (kind.progressive) {
    jpeg_simple_progression(&info);
  } else if (kind.separate_scans) {
    for (int i = 0; i < info.num_components; ++i) {
      scans[i] = {1, {i, 0, 0, 0}, 0, 63, 0, 0};
    }
    info.scan_info = scans;
    info.num_scans = info.num_components;
  }
  const std::vector<std::uint8_t> pixels = Paint(width, height, info.input_components, seed);
  jpeg_start_compress(&info, TRUE);
  const std::size_t row_bytes = static_cast<std::size_t>(width * info.input_components);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(pixels.data() + row_bytes * info.next_scanline);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const auto* bytes = reinterpret_cast<const std::byte*>(memory);
  std::vector<std::byte> jpeg(bytes, bytes + size);
  std::free(memory);
  return jpeg;
}

std::vector<std::size_t> FindScans(const std::vector<std::byte>& jpeg) {
  std::vector<std::size_t> scans;
  for (std::size_t i = 0; i + 1 < jpeg.size(); ++i) {
    // 0xFF in scan data is always followed by a zero or a restart marker.
    if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xDA}) scans.push_back(i);
  }
  return scans;
}

}  // namespace millrace::testing
