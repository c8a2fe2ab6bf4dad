#include "pipeline/convert_picture.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/check.h"
#include "stages/decode.h"
#include "stages/resize.h"
#include "storage/foreign_picture.h"
#include "storage/jpeg_encode.h"
#include "storage/jpeg_info.h"
#include "storage/jpeg_repack.h"
#include "storage/png_picture.h"

namespace millrace::pipeline {
namespace {

using stages::Size;
using storage::JpegColor;
using storage::JpegInfo;
using storage::OnDamage;
using storage::Subsampling;

void Append(std::string* list, std::string_view item) {
  if (!list->empty()) *list += "; ";
  *list += item;
}

// "a PNG image", and that the name says otherwise when it does.
std::string FormatAndName(std::string_view format, std::string_view name) {
  const std::string extension = std::filesystem::path(name).extension().string();
  const bool is_named_jpeg = extension.starts_with(".j") || extension.starts_with(".J");
  return is_named_jpeg ? fmt::format("{} although it is named {}", format, extension)
                       : fmt::format("{}, not a JPEG", format);
}

// `side` times numerator / denominator, rounded down, but one pixel at least.
int Scaled(int side, int numerator, int denominator) {
  return std::max(1, static_cast<int>(std::int64_t{side} * numerator / denominator));
}

// The size that the options ask for.
Size WantedSize(const PictureOptions& options, Size size) {
  const bool is_wide = size.width > size.height;
  const int longer = std::max(size.width, size.height);
  const int shorter = std::min(size.width, size.height);
  int new_longer = longer;
  int new_shorter = shorter;
  if (options.resize_short > 0 && static_cast<std::uint32_t>(shorter) > options.resize_short) {
    new_shorter = static_cast<int>(options.resize_short);
    new_longer = Scaled(longer, new_shorter, shorter);
  } else if (options.max_side > 0 && static_cast<std::uint32_t>(longer) > options.max_side) {
    new_longer = static_cast<int>(options.max_side);
    new_shorter = Scaled(shorter, new_longer, longer);
  }
  return is_wide ? Size{new_longer, new_shorter} : Size{new_shorter, new_longer};
}

// What was done about each of the bits, besides what `found` calls them.
std::string WordsForDone(std::uint32_t repairs) {
  std::string done;
  if ((repairs & (storage::kTruncated | storage::kCorrupt)) != 0) {
    Append(&done, "the pixels are what libjpeg makes of it");
  }
  if ((repairs & storage::kTrailingBytes) != 0) Append(&done, "bytes after the end dropped");
  if ((repairs & storage::kExifOrientation) != 0) {
    Append(&done, "orientation dropped, pixels not turned");
  }
  if ((repairs & storage::kArithmetic) != 0) Append(&done, "Huffman-coded without loss");
  return done;
}

}  // namespace

class PictureConverter::Work {
 public:
  explicit Work(const PictureOptions& options) : options_(options) {
    MILLRACE_CHECK(options.resize_short == 0 || options.max_side == 0);
  }

  Result<ConvertedPicture> Convert(std::span<const std::byte> bytes, std::string_view name) {
    if (storage::IsPng(bytes)) {
      const std::string found = FormatAndName("a PNG image", name);
      if (!options_.repair) return Fault{found};
      return ConvertForeign(bytes, found);
    }
    const Result<JpegInfo> info = storage::ReadJpegInfo(bytes);
    if (!info) {
      const std::string_view format = storage::SniffFormat(bytes);
      if (format.empty() || format == "a JPEG image") return info.fault();
      return Fault{FormatAndName(format, name)};
    }
    if (info->pixels() > stages::kMostPixels) {
      return MakeFault("{} x {} pixels; more than {} are refused", info->width, info->height,
                       stages::kMostPixels);
    }
    const bool is_cmyk = info->color == JpegColor::kCmyk;
    if (is_cmyk || info->color == JpegColor::kYcck) {
      if (!options_.repair) return Fault{storage::WhyNotStored(info->color)};
      return ConvertForeign(bytes, is_cmyk ? "a CMYK JPEG" : "a YCCK JPEG");
    }
    return ConvertJpeg(bytes, *info);
  }

 private:
  Result<ConvertedPicture> ConvertForeign(std::span<const std::byte> bytes, std::string found) {
    auto foreign = storage::ReadForeignPicture(bytes);
    if (!foreign) return foreign.fault();
    const storage::Pixels& pixels = foreign->pixels;
    const bool is_gray = pixels.channels == 1;
    ConvertedPicture picture{.width = pixels.width,
                             .height = pixels.height,
                             .subsampling = is_gray ? Subsampling::kGray : Subsampling::kUnknown,
                             .repairs = foreign->repairs,
                             .found = std::move(found)};
    if ((picture.repairs & storage::kTruncated) != 0) Append(&picture.found, "truncated");
    if ((picture.repairs & storage::kCorrupt) != 0) Append(&picture.found, "corrupt data");
    if ((picture.repairs & storage::kTrailingBytes) != 0) {
      Append(&picture.found, "bytes after the end");
    }
    picture.done = WordsForDone(picture.repairs);
    const Size size = SizeOf(picture);
    const Size wanted = WantedSize(options_, size);
    if (wanted != size) {
      Append(&picture.done, is_gray ? "stored as a gray JPEG" : "stored as an RGB JPEG");
      TakePixels(pixels);
      return Shrink(wanted, std::move(picture));
    }
    Append(&picture.done,
           is_gray ? "stored as a gray PNG without loss" : "stored as an RGB PNG without loss");
    kept_ = storage::MakePngPayload(pixels);
    picture.payload = kept_;
    return picture;
  }

  Result<ConvertedPicture> ConvertJpeg(std::span<const std::byte> bytes, const JpegInfo& info) {
    ConvertedPicture picture{
        .width = info.width, .height = info.height, .subsampling = info.subsampling};
    const Size size = SizeOf(picture);
    const Size wanted = WantedSize(options_, size);
    if (!options_.region_index && wanted == size && storage::CheckJpeg(bytes)) {
      picture.payload = bytes;
      return picture;
    }
    const auto packed =
        repacker_.Repack(bytes, options_.repair ? OnDamage::kRepair : OnDamage::kFault);
    if (!packed) return packed.fault();
    const bool is_damaged = (packed->repairs & (storage::kTruncated | storage::kCorrupt)) != 0;
    if (is_damaged && !packed->is_packed) return MakeFault("cannot be repaired: {}", packed->found);
    picture.repairs = packed->repairs;
    picture.found = packed->found;
    picture.done = WordsForDone(packed->repairs);
    if (wanted != size) {
      if (const Outcome decoded = decoder_.DecodeFull(packed->payload, &image_); !decoded) {
        return decoded.fault();
      }
      return Shrink(wanted, std::move(picture));
    }
    if (!packed->is_packed) Append(&picture.done, "stored as it came, without a region index");
    picture.payload = packed->payload;
    picture.region_index = packed->region_index;
    return picture;
  }

  static Size SizeOf(const ConvertedPicture& picture) {
    return {static_cast<int>(picture.width), static_cast<int>(picture.height)};
  }

  // Makes image_ of pixels.
  void TakePixels(const storage::Pixels& pixels) {
    image_.Resize(static_cast<int>(pixels.width), static_cast<int>(pixels.height));
    const std::size_t count = std::size_t{pixels.width} * pixels.height;
    std::uint8_t* to = image_.row(0);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t c = 0; c < stages::kChannels; ++c) {
        *to++ = pixels.bytes[i * pixels.channels + (pixels.channels == 1 ? 0 : c)];
      }
    }
  }

  // Makes a smaller JPEG of image_. `picture` says what it was.
  Result<ConvertedPicture> Shrink(Size wanted, ConvertedPicture picture) {
    if (static_cast<std::uint32_t>(std::max(wanted.width, wanted.height)) > storage::kMaxJpegSide) {
      return MakeFault("{} x {} pixels are more than a JPEG can have", wanted.width, wanted.height);
    }
    const stages::Geometry geometry{.crop = {0, 0, image_.width(), image_.height()},
                                    .resized = wanted,
                                    .window = {0, 0, wanted.width, wanted.height}};
    const std::size_t row_bytes = static_cast<std::size_t>(wanted.width) * stages::kChannels;
    small_.resize(row_bytes * static_cast<std::size_t>(wanted.height));
    resizer_.Resize(geometry, image_, small_.data(), row_bytes);
    picture.width = static_cast<std::uint32_t>(wanted.width);
    picture.height = static_cast<std::uint32_t>(wanted.height);
    if (picture.subsampling != Subsampling::kGray) picture.subsampling = Subsampling::k420;
    kept_ = storage::EncodeJpeg(small_, picture.width, picture.height,
                                {.quality = options_.quality, .subsampling = picture.subsampling});
    picture.payload = kept_;
    if (!options_.region_index) return picture;
    const auto packed = repacker_.Repack(kept_, OnDamage::kFault);
    if (!packed) return packed.fault();
    picture.payload = packed->payload;
    picture.region_index = packed->region_index;
    return picture;
  }

  const PictureOptions options_;
  storage::JpegRepacker repacker_;
  stages::Decoder decoder_;
  stages::Resizer resizer_;
  stages::Image image_;              // of a picture that is to be made smaller
  std::vector<std::uint8_t> small_;  // its new pixels
  std::vector<std::byte> kept_;      // a payload that is not the repacker's
};

PictureConverter::PictureConverter(const PictureOptions& options)
    : work_(std::make_unique<Work>(options)) {}
PictureConverter::~PictureConverter() = default;

Result<ConvertedPicture> PictureConverter::Convert(std::span<const std::byte> bytes,
                                                   std::string_view name) {
  return work_->Convert(bytes, name);
}

}  // namespace millrace::pipeline
