#include "tests/support/tiny_images.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"

namespace millrace::test {
namespace {

// The specs are ours: what libjpeg refuses is a bug of the test.
[[noreturn]] void AbortOnError(j_common_ptr info) {
  info->err->output_message(info);
  std::abort();
}

int NumPlanes(Planes planes) {
  switch (planes) {
    case Planes::kGray:
    case Planes::kGray2x2:
      return 1;
    case Planes::kCmyk:
    case Planes::kYcck:
      return 4;
    default:
      return 3;
  }
}

void SetSampling(jpeg_compress_struct& info, Planes planes) {
  int horizontal = 1;
  int vertical = 1;
  switch (planes) {
    case Planes::k422:
      horizontal = 2;
      break;
    case Planes::k420:
    case Planes::kGray2x2:
      horizontal = vertical = 2;
      break;
    case Planes::k440:
      vertical = 2;
      break;
    case Planes::k441:
      vertical = 4;
      break;
    case Planes::k411:
      horizontal = 4;
      break;
    case Planes::k410:
      horizontal = 4;
      vertical = 2;
      break;
    default:
      break;
  }
  for (int i = 0; i < info.num_components; ++i) {
    info.comp_info[i].h_samp_factor = i == 0 ? horizontal : 1;
    info.comp_info[i].v_samp_factor = i == 0 ? vertical : 1;
  }
}

std::vector<std::uint8_t> ConvertPixels(const std::vector<std::uint8_t>& rgb, Planes planes) {
  const auto count = rgb.size() / 3;
  const auto channels = static_cast<std::size_t>(NumPlanes(planes));
  if (channels == 3) return rgb;
  std::vector<std::uint8_t> pixels(count * channels);
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 1) {
      pixels[i] = rgb[3 * i + 1];
    } else {
      // Adobe's inverted CMYK without black generation: the inks' complements are the RGB values.
      for (std::size_t c = 0; c < 3; ++c) pixels[4 * i + c] = rgb[3 * i + c];
      pixels[4 * i + 3] = 255;
    }
  }
  return pixels;
}

}  // namespace

std::vector<std::uint8_t> MakePixels(int width, int height, std::uint64_t seed) {
  MILLRACE_CHECK(width >= 1 && height >= 1);
  RandomStream random({.seed = seed}, 0);
  struct Rectangle {
    int x0, y0, x1, y1;
    std::array<int, 3> color;
  };
  std::array<Rectangle, 4> rectangles;
  for (auto& rectangle : rectangles) {
    const auto x = static_cast<int>(random.Below(static_cast<std::uint32_t>(width)));
    const auto y = static_cast<int>(random.Below(static_cast<std::uint32_t>(height)));
    rectangle = {x, y, x + 1 + width / 4, y + 1 + height / 4, {}};
    for (auto& value : rectangle.color) value = static_cast<int>(random.Below(256));
  }
  std::array<double, 3> slope_x;
  std::array<double, 3> slope_y;
  for (std::size_t c = 0; c < 3; ++c) {
    slope_x[c] = random.Uniform(-100, 100) / width;
    slope_y[c] = random.Uniform(-100, 100) / height;
  }
  // A table, because a RandomStream holds only 2^18 draws.
  std::array<std::uint8_t, 4096> noise;
  for (auto& value : noise) value = static_cast<std::uint8_t>(random.Below(25));

  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width) *
                                   static_cast<std::size_t>(height) * 3);
  std::size_t at = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (std::size_t c = 0; c < 3; ++c) {
        double value = 128 + slope_x[c] * (x - width / 2) + slope_y[c] * (y - height / 2);
        for (const auto& r : rectangles) {
          if (x >= r.x0 && x < r.x1 && y >= r.y0 && y < r.y1) value = r.color[c];
        }
        value += noise[(at * 2654435761u >> 7) % noise.size()] - 12;
        pixels[at++] = static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
  }
  return pixels;
}

std::vector<std::byte> MakeJpeg(const JpegSpec& spec) {
  const auto pixels = ConvertPixels(MakePixels(spec.width, spec.height, spec.seed), spec.planes);
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  errors.error_exit = AbortOnError;
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(spec.width);
  info.image_height = static_cast<JDIMENSION>(spec.height);
  info.input_components = NumPlanes(spec.planes);
  switch (info.input_components) {
    case 1:
      info.in_color_space = JCS_GRAYSCALE;
      break;
    case 4:
      info.in_color_space = JCS_CMYK;
      break;
    default:
      info.in_color_space = JCS_RGB;
  }
  jpeg_set_defaults(&info);
  if (spec.planes == Planes::kRgb) jpeg_set_colorspace(&info, JCS_RGB);
  if (spec.planes == Planes::kYcck) jpeg_set_colorspace(&info, JCS_YCCK);
  SetSampling(info, spec.planes);
  jpeg_set_quality(&info, spec.quality, TRUE);
  info.arith_code = spec.arithmetic ? TRUE : FALSE;
  info.optimize_coding = spec.optimize ? TRUE : FALSE;
  info.restart_interval = spec.restart_interval;
  if (spec.progressive) jpeg_simple_progression(&info);
  std::array<jpeg_scan_info, MAX_COMPS_IN_SCAN> scans{};
  if (spec.separate_scans) {
    for (int i = 0; i < info.num_components; ++i) {
      scans[static_cast<std::size_t>(i)] = {1, {i, 0, 0, 0}, 0, DCTSIZE2 - 1, 0, 0};
    }
    info.scan_info = scans.data();
    info.num_scans = info.num_components;
  }
  jpeg_start_compress(&info, TRUE);
  if (!spec.comment.empty()) {
    jpeg_write_marker(&info, JPEG_COM, reinterpret_cast<const JOCTET*>(spec.comment.data()),
                      static_cast<unsigned>(spec.comment.size()));
  }
  const auto row_bytes = static_cast<std::size_t>(spec.width * info.input_components);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(pixels.data() + info.next_scanline * row_bytes);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  const auto* bytes = reinterpret_cast<const std::byte*>(buffer);
  std::vector<std::byte> jpeg(bytes, bytes + size);
  std::free(buffer);
  jpeg_destroy_compress(&info);
  return jpeg;
}

std::vector<std::size_t> FindScans(std::span<const std::byte> jpeg) {
  std::vector<std::size_t> scans;
  for (std::size_t i = 0; i + 1 < jpeg.size(); ++i) {
    // 0xFF in scan data is always followed by a zero or a restart marker.
    if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xDA}) scans.push_back(i);
  }
  return scans;
}

std::vector<std::byte> MakePng(int width, int height, std::uint64_t seed) {
  const auto pixels = MakePixels(width, height, seed);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  MILLRACE_CHECK(png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr));
  std::vector<std::byte> png(size);
  MILLRACE_CHECK(
      png_image_write_to_memory(&image, png.data(), &size, 0, pixels.data(), 0, nullptr));
  png.resize(size);
  return png;
}

void WriteBytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  WriteText(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void WriteText(const std::filesystem::path& path, std::string_view text) {
  CreateFolders(path.parent_path());
  std::FILE* file = std::fopen(path.c_str(), "wb");
  MILLRACE_CHECK(file != nullptr);
  MILLRACE_CHECK(text.empty() || std::fwrite(text.data(), 1, text.size(), file) == text.size());
  MILLRACE_CHECK(std::fclose(file) == 0);
}

void MakeImageFolder(const std::filesystem::path& root, int num_classes, int per_class,
                     std::uint64_t seed) {
  constexpr std::array kPlanes = {Planes::k420, Planes::k444, Planes::kGray, Planes::k422};
  for (int label = 0; label < num_classes; ++label) {
    const std::string name = fmt::format("n{:03}", label);
    for (int i = 0; i < per_class; ++i) {
      const auto index = static_cast<std::size_t>(label * per_class + i);
      const auto size = static_cast<int>(index % 23);
      const JpegSpec spec{.width = 24 + 2 * size,
                          .height = 64 - size,
                          .seed = seed * 1'000'003 + index,
                          .planes = kPlanes[index % kPlanes.size()]};
      WriteBytes(root / name / fmt::format("{}_{}.JPEG", name, i), MakeJpeg(spec));
    }
  }
}

}  // namespace millrace::test
