#include "storage/jpeg_encode.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>

// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>

#include "base/check.h"

namespace millrace::storage {
namespace {

constexpr int kChannels = 3;
constexpr std::size_t kLeastRoom = 4096;  // [bytes] for the tables of the smallest picture
constexpr JDIMENSION kRowsTogether = 16;  // an MCU row of 4:2:0

// libjpeg's encoder of one picture, and where it jumps to at the first error. Trivially
// destructible, as all that the jump may cross.
struct Encoder {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf escape{};
  unsigned char* buffer = nullptr;  // the caller's; from malloc when that was too small
  unsigned long size = 0;
};

bool IsWritten(Subsampling subsampling) {
  return subsampling == Subsampling::kGray || subsampling == Subsampling::k444 ||
         subsampling == Subsampling::k420;
}

[[noreturn]] void Stop(j_common_ptr info) {
  std::longjmp(static_cast<Encoder*>(info->client_data)->escape, 1);
}

// What the jump crosses from here to Encode() has no local with a destructor.

void Begin(Encoder& encoder, std::uint32_t width, std::uint32_t height,
           const JpegEncoding& encoding) {
  jpeg_compress_struct& info = encoder.info;
  jpeg_create_compress(&info);
  info.client_data = &encoder;
  jpeg_mem_dest(&info, &encoder.buffer, &encoder.size);
  info.image_width = width;
  info.image_height = height;
  info.input_components = kChannels;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  if (encoding.subsampling == Subsampling::kGray) jpeg_set_colorspace(&info, JCS_GRAYSCALE);
  jpeg_set_quality(&info, encoding.quality, TRUE);
  const int factor = encoding.subsampling == Subsampling::k420 ? 2 : 1;
  info.comp_info[0].h_samp_factor = factor;
  info.comp_info[0].v_samp_factor = factor;
}

void WriteRgb(jpeg_compress_struct& info, const std::uint8_t* rgb) {
  jpeg_start_compress(&info, TRUE);
  const std::size_t row_bytes = std::size_t{info.image_width} * kChannels;
  while (info.next_scanline < info.image_height) {
    JSAMPROW rows[kRowsTogether];
    const JDIMENSION count = std::min(kRowsTogether, info.image_height - info.next_scanline);
    for (JDIMENSION i = 0; i < count; ++i) {
      rows[i] = const_cast<JSAMPROW>(rgb + (info.next_scanline + i) * row_bytes);
    }
    jpeg_write_scanlines(&info, rows, count);
  }
  jpeg_finish_compress(&info);
}

void WritePlanes(jpeg_compress_struct& info, const YccPlanes& picture) {
  info.raw_data_in = TRUE;
  jpeg_start_compress(&info, TRUE);
  JSAMPROW rows[kChannels][kRowsTogether];
  JSAMPARRAY planes[kChannels] = {rows[0], rows[1], rows[2]};
  const auto mcu_rows = static_cast<JDIMENSION>(DCTSIZE * info.max_v_samp_factor);
  while (info.next_scanline < info.image_height) {
    for (int c = 0; c < info.num_components; ++c) {
      const YccPlanes::Plane& plane = picture.planes[static_cast<std::size_t>(c)];
      const auto factor = static_cast<JDIMENSION>(info.comp_info[c].v_samp_factor);
      const JDIMENSION first =
          info.next_scanline / static_cast<JDIMENSION>(info.max_v_samp_factor) * factor;
      for (JDIMENSION i = 0; i < DCTSIZE * factor; ++i) {
        rows[c][i] = const_cast<JSAMPROW>(plane.samples.data() + (first + i) * plane.stride);
      }
    }
    jpeg_write_raw_data(&info, planes, mcu_rows);
  }
  jpeg_finish_compress(&info);
}

// One of `rgb` and `planes` is there. False: no memory.
bool Encode(Encoder& encoder, const std::uint8_t* rgb, const YccPlanes* planes, std::uint32_t width,
            std::uint32_t height, const JpegEncoding& encoding) {
  if (setjmp(encoder.escape) != 0) return false;
  Begin(encoder, width, height, encoding);
  if (planes != nullptr) {
    WritePlanes(encoder.info, *planes);
  } else {
    WriteRgb(encoder.info, rgb);
  }
  return true;
}

// C++ again.
std::vector<std::byte> MakeJpeg(const std::uint8_t* rgb, const YccPlanes* planes,
                                std::uint32_t width, std::uint32_t height,
                                const JpegEncoding& encoding) {
  MILLRACE_CHECK(width > 0 && width <= kMaxJpegSide && height > 0 && height <= kMaxJpegSide);
  MILLRACE_CHECK(encoding.quality >= 1 && encoding.quality <= 100);
  MILLRACE_CHECK(IsWritten(encoding.subsampling));
  // Room for most pictures, so that libjpeg does not take more again and again.
  std::vector<std::byte> jpeg(std::size_t{width} * height + kLeastRoom);
  auto* const room = reinterpret_cast<unsigned char*>(jpeg.data());
  Encoder encoder;
  encoder.info.err = jpeg_std_error(&encoder.errors);
  encoder.info.client_data = &encoder;
  encoder.errors.error_exit = Stop;
  encoder.buffer = room;
  encoder.size = jpeg.size();
  const bool encoded = Encode(encoder, rgb, planes, width, height, encoding);
  jpeg_destroy_compress(&encoder.info);
  if (encoder.buffer == room) {
    jpeg.resize(encoder.size);
  } else {
    const auto* bytes = reinterpret_cast<const std::byte*>(encoder.buffer);
    jpeg.assign(bytes, bytes + encoder.size);
    std::free(encoder.buffer);
  }
  // Pixels in memory leave nothing to go wrong but the memory itself.
  MILLRACE_CHECK(encoded);
  return jpeg;
}

}  // namespace

void YccPlanes::Resize(std::uint32_t picture_width, std::uint32_t picture_height,
                       Subsampling subsampling) {
  MILLRACE_CHECK(IsWritten(subsampling));
  width = picture_width;
  height = picture_height;
  planes.resize(subsampling == Subsampling::kGray ? 1 : kChannels);
  const std::uint32_t factor = subsampling == Subsampling::k420 ? 2 : 1;
  const std::uint32_t mcu = factor * DCTSIZE;
  for (std::size_t c = 0; c < planes.size(); ++c) {
    Plane& plane = planes[c];
    const std::uint32_t divisor = c == 0 ? 1 : factor;
    plane.stride = (width + mcu - 1) / mcu * mcu / divisor;
    plane.rows = (height + mcu - 1) / mcu * mcu / divisor;
    plane.samples.resize(std::size_t{plane.stride} * plane.rows);
  }
}

std::vector<std::byte> EncodeJpeg(std::span<const std::uint8_t> rgb, std::uint32_t width,
                                  std::uint32_t height, const JpegEncoding& encoding) {
  MILLRACE_CHECK(rgb.size() == std::size_t{width} * height * kChannels);
  return MakeJpeg(rgb.data(), nullptr, width, height, encoding);
}

std::vector<std::byte> EncodeJpeg(const YccPlanes& planes, const JpegEncoding& encoding) {
  MILLRACE_CHECK(planes.planes.size() == (encoding.subsampling == Subsampling::kGray ? 1 : 3));
  return MakeJpeg(nullptr, &planes, planes.width, planes.height, encoding);
}

}  // namespace millrace::storage
