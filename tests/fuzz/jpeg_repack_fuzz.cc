// Any bytes given to the re-packer: what it makes of them shows the pixels that libjpeg-turbo shows
// of them, without a complaint when it is packed, and packing it again changes nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "storage/jpeg_markers.h"
#include "storage/jpeg_repack.h"
#include "tests/support/full_decode.h"

namespace {

using millrace::storage::JpegRepacker;
using millrace::storage::OnDamage;

// Larger pictures only take longer.
constexpr std::size_t kMostPixels = 1 << 16;

void Require(bool holds) {
  if (!holds) std::abort();
}

void Pack(JpegRepacker& repacker, std::span<const std::byte> jpeg, OnDamage on_damage) {
  const auto result = repacker.Repack(jpeg, on_damage);
  if (!result.ok()) return;
  const auto& packed = result.value();
  const auto shown = millrace::test::DecodeFully(packed.payload, kMostPixels);
  Require(shown.Shows(millrace::test::DecodeFully(jpeg, kMostPixels)));
  if (!packed.is_packed) return;
  Require(!shown.complains);
  const std::vector<std::byte> once(packed.payload.begin(), packed.payload.end());
  const auto again = repacker.Repack(once, OnDamage::kFault);
  Require(again.ok() && again.value().repairs == 0);
  Require(std::vector(again.value().payload.begin(), again.value().payload.end()) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  millrace::storage::ExifOrientation(bytes);
  millrace::storage::WithoutMetadata(bytes);
  const auto info = millrace::storage::ReadJpegInfo(bytes);
  if (!info.ok() || info->pixels() > kMostPixels) return 0;
  static JpegRepacker repacker;
  Pack(repacker, bytes, OnDamage::kFault);
  Pack(repacker, bytes, OnDamage::kRepair);
  return 0;
}
