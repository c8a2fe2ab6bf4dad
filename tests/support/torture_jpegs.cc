#include "tests/support/torture_jpegs.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "tests/support/tiny_images.h"

namespace millrace::test {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::pair<Planes, const char*> kPlanes[] = {
    {Planes::kGray, "grey"}, {Planes::kGray2x2, "grey 2x2"}, {Planes::k444, "4:4:4"},
    {Planes::k422, "4:2:2"}, {Planes::k420, "4:2:0"},        {Planes::k440, "4:4:0"},
    {Planes::k441, "4:4:1"}, {Planes::k411, "4:1:1"},        {Planes::k410, "4:1:0"},
    {Planes::kRgb, "RGB"},
};

struct Coding {
  const char* name;
  bool progressive = false;
  bool arithmetic = false;
  bool optimize = false;
  bool separate_scans = false;
  unsigned restart_interval = 0;
};

constexpr Coding kCodings[] = {
    {.name = "sequential"},
    {.name = "own tables", .optimize = true},
    {.name = "restart markers", .restart_interval = 3},
    {.name = "separate scans", .separate_scans = true},
    {.name = "separate scans with restart markers", .separate_scans = true, .restart_interval = 5},
    {.name = "progressive", .progressive = true},
    {.name = "progressive with restart markers", .progressive = true, .restart_interval = 2},
    {.name = "arithmetic", .arithmetic = true},
    {.name = "arithmetic with restart markers", .arithmetic = true, .restart_interval = 4},
    {.name = "progressive arithmetic", .progressive = true, .arithmetic = true},
};

// Around the edges of blocks and of MCUs of 16 and 32 pixels, and where rows fall into segments.
constexpr std::pair<int, int> kSizes[] = {{1, 1},   {1, 9},   {7, 8},   {8, 7},   {17, 16},
                                          {16, 33}, {31, 15}, {33, 31}, {64, 16}, {65, 40},
                                          {70, 67}, {128, 9}, {200, 33}};

Bytes Make(Planes planes, const Coding& coding, int width, int height, int quality) {
  return MakeJpeg({.width = width,
                   .height = height,
                   .seed = static_cast<std::uint64_t>(width * 1000 + height),
                   .planes = planes,
                   .quality = quality,
                   .progressive = coding.progressive,
                   .arithmetic = coding.arithmetic,
                   .optimize = coding.optimize,
                   .separate_scans = coding.separate_scans,
                   .restart_interval = coding.restart_interval});
}

void Append(Bytes* to, std::span<const std::byte> bytes) {
  to->insert(to->end(), bytes.begin(), bytes.end());
}

void AppendByte(Bytes* to, std::size_t value) { to->push_back(static_cast<std::byte>(value)); }

std::size_t WordAt(std::span<const std::byte> bytes, std::size_t at) {
  return static_cast<std::size_t>(bytes[at]) << 8 | static_cast<std::size_t>(bytes[at + 1]);
}

}  // namespace

std::vector<TortureJpeg> MakeTortureJpegs() {
  std::vector<TortureJpeg> all;
  for (const auto& [planes, planes_name] : kPlanes) {
    for (const Coding& coding : kCodings) {
      for (const auto& [width, height] : kSizes) {
        all.push_back({fmt::format("{} {} {}x{}", planes_name, coding.name, width, height),
                       Make(planes, coding, width, height, 90)});
      }
      // Nothing but DC at the one end, nothing quantised at the other.
      for (const int quality : {1, 100}) {
        all.push_back({fmt::format("{} {} quality {}", planes_name, coding.name, quality),
                       Make(planes, coding, 50, 41, quality)});
      }
      const Bytes picture = Make(planes, coding, 45, 38, 60);
      all.push_back({fmt::format("{} {} wide quantisers", planes_name, coding.name),
                     WithWideQuantizers(picture)});
      all.push_back({fmt::format("{} {} orientation", planes_name, coding.name),
                     WithOrientation(picture, 6, coding.progressive)});
      Bytes longer = picture;
      longer.resize(longer.size() + 7, std::byte{0xD8});
      all.push_back({fmt::format("{} {} bytes behind the end", planes_name, coding.name), longer});
    }
  }
  all.push_back({"comment", MakeJpeg({.comment = "nothing that concerns pixels"})});
  return all;
}

std::vector<TortureJpeg> MakeFuzzSeeds() {
  std::vector<TortureJpeg> seeds;
  for (const auto& [planes, planes_name] : kPlanes) {
    for (const Coding& coding : kCodings) {
      seeds.push_back(
          {fmt::format("{} {}", planes_name, coding.name), Make(planes, coding, 35, 18, 50)});
    }
  }
  const Bytes progressive = MakeJpeg({.width = 35, .height = 18, .progressive = true});
  seeds.push_back({"wide quantisers", WithWideQuantizers(MakeJpeg({.width = 20, .height = 20}))});
  seeds.push_back({"orientation", WithOrientation(MakeJpeg({.width = 9, .height = 9}), 6, true)});
  seeds.push_back({"lacks scans", WithoutLastScans(progressive, 3)});
  seeds.push_back({"cut off", CutOff(progressive, progressive.size() / 2)});
  return seeds;
}

Bytes WithWideQuantizers(std::span<const std::byte> jpeg) {
  Bytes result(jpeg.begin(), jpeg.begin() + 2);
  std::size_t at = 2;
  while (jpeg[at + 1] != std::byte{0xDA}) {  // up to the first scan
    const std::size_t size = 2 + WordAt(jpeg, at + 2);
    const auto segment = jpeg.subspan(at, size);
    if (segment[1] == std::byte{0xDB}) {
      for (std::size_t table = 4; table < size; table += 65) {
        for (const unsigned byte : {0xFFu, 0xDBu, 0u, 2u + 1 + 128}) AppendByte(&result, byte);
        AppendByte(&result, 0x10u | static_cast<unsigned>(segment[table]));
        for (std::size_t i = 1; i <= 64; ++i) {
          const std::size_t quantizer = 3 * static_cast<std::size_t>(segment[table + i]);
          AppendByte(&result, quantizer >> 8);
          AppendByte(&result, quantizer);
        }
      }
    } else {
      Append(&result, segment);
      const std::size_t code = result.size() - size + 1;
      if (result[code] == std::byte{0xC0}) result[code] = std::byte{0xC1};
    }
    at += size;
  }
  Append(&result, jpeg.subspan(at));
  return result;
}

Bytes WithOrientation(std::span<const std::byte> jpeg, unsigned orientation, bool big_endian) {
  Bytes exif;
  Append(&exif, std::as_bytes(std::span(std::string_view("Exif\0\0", 6))));
  const auto put = [&](std::size_t size, std::size_t value) {
    for (std::size_t i = 0; i < size; ++i) {
      AppendByte(&exif, value >> 8 * (big_endian ? size - 1 - i : i));
    }
  };
  const auto put_entry = [&](std::size_t tag, std::size_t value) {
    put(2, tag);
    put(2, 3);  // 16-bit numbers
    put(4, 1);  // one of them
    put(2, value);
    put(2, 0);
  };
  AppendByte(&exif, big_endian ? 'M' : 'I');
  AppendByte(&exif, big_endian ? 'M' : 'I');
  put(2, 42);
  put(4, 8);  // where the directory begins
  put(2, 2);  // its entries
  put_entry(0x0103, 6);
  put_entry(0x0112, orientation);
  put(4, 0);  // no further directory

  Bytes result(jpeg.begin(), jpeg.begin() + 2);
  AppendByte(&result, 0xFF);
  AppendByte(&result, 0xE1);
  AppendByte(&result, (exif.size() + 2) >> 8);
  AppendByte(&result, exif.size() + 2);
  Append(&result, exif);
  Append(&result, jpeg.subspan(2));
  return result;
}

Bytes WithoutLastScans(std::span<const std::byte> jpeg, std::size_t scans) {
  const auto begins = FindScans(jpeg);
  MILLRACE_CHECK(scans < begins.size());
  std::size_t end = begins[begins.size() - scans - 1];
  end += 2 + WordAt(jpeg, end + 2);
  // The data of the last scan that stays ends at a marker that is none for restarts.
  while (jpeg[end] != std::byte{0xFF} || jpeg[end + 1] == std::byte{0} ||
         (jpeg[end + 1] >= std::byte{0xD0} && jpeg[end + 1] <= std::byte{0xD7})) {
    ++end;
  }
  Bytes result = CutOff(jpeg, end);
  AppendByte(&result, 0xFF);
  AppendByte(&result, 0xD9);
  return result;
}

std::vector<std::byte> WithFlippedBits(std::span<const std::byte> jpeg, RandomStream* random) {
  std::vector<std::byte> flipped(jpeg.begin(), jpeg.end());
  for (unsigned n = 1 + random->Below(3); n > 0; --n) {
    flipped[random->Below(static_cast<std::uint32_t>(flipped.size()))] ^=
        static_cast<std::byte>(1u << random->Below(8));
  }
  return flipped;
}

Bytes CutOff(std::span<const std::byte> jpeg, std::size_t size) {
  return {jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size)};
}

}  // namespace millrace::test
