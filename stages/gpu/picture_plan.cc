#include "stages/gpu/picture_plan.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "stages/gpu/batch_layout.h"
#include "stages/gpu/unstuff.h"
#include "stages/region/code_table.h"
#include "stages/region/segments.h"
#include "stages/resize.h"
#include "storage/jpeg_frame.h"

namespace millrace::stages::gpu {
namespace {

using region::SegmentChoice;

// XXH3-64 is another algorithm for fewer bytes than these, which the device does not have.
constexpr std::size_t kLeastHashed = 241;

static_assert(static_cast<u32>(region::Sampling::k444) == static_cast<u32>(ChromaSampling::k444));
static_assert(static_cast<u32>(region::Sampling::k422) == static_cast<u32>(ChromaSampling::k422));
static_assert(static_cast<u32>(region::Sampling::k420) == static_cast<u32>(ChromaSampling::k420));
static_assert(static_cast<u32>(region::Sampling::k440) == static_cast<u32>(ChromaSampling::k440));
static_assert(static_cast<u32>(ResizePasses::kNone) == static_cast<u32>(Passes::kNone));
static_assert(static_cast<u32>(ResizePasses::kHorizontalFirst) ==
              static_cast<u32>(Passes::kHorizontalFirst));
static_assert(static_cast<u32>(ResizePasses::kVerticalFirst) ==
              static_cast<u32>(Passes::kVerticalFirst));
static_assert(static_cast<u32>(ResizePasses::kLinear) == static_cast<u32>(Passes::kLinear));
static_assert(alignof(PictureData) <= kBytesAlignment);

u32 Unsigned(int value) { return static_cast<u32>(value); }

PictureAxis AxisOf(int crop, int resized, int begin, int count, int source, Passes passes) {
  // ksize of Pillow's precompute_coeffs: the filter is two pixels wide, or two of what they become.
  const double support = std::max(1.0, static_cast<double>(crop) / resized);
  const u32 taps = passes == Passes::kLinear ? 2 : 2 * static_cast<u32>(std::ceil(support)) + 1;
  return {.crop = crop,
          .resized = resized,
          .begin = begin,
          .count = count,
          .source = source,
          .most_taps = taps};
}

PicturePlane PlaneOf(const SegmentChoice& choice, const region::PlaneFrame& plane, Box region,
                     u32 mcu_block) {
  const auto [x, y] = NeededBlocks(choice, plane, region);
  constexpr int kBlock = static_cast<int>(kSide);
  return {.h = Unsigned(plane.h),
          .v = Unsigned(plane.v),
          .mcu_block = mcu_block,
          .dc = static_cast<u32>(plane.dc_table),
          .ac = 2 + static_cast<u32>(plane.ac_table),
          .first_x = Unsigned(x.begin - choice.columns.begin * choice.segment_mcus * plane.h),
          .first_y = Unsigned(y.begin - choice.mcu_rows.begin * plane.v),
          .columns = Unsigned(x.size()),
          .rows = Unsigned(y.size()),
          .x = x.begin * kBlock,
          .y = y.begin * kBlock,
          .width = plane.samples.width,
          .height = plane.samples.height,
          .samples = 0};
}

Picture PictureOf(const SegmentChoice& choice, const Geometry& geometry, Box region) {
  Picture picture{};
  picture.kind = Kind::kSegments;
  picture.sampling = static_cast<ChromaSampling>(choice.sampling);
  picture.passes = static_cast<Passes>(PassesOf(geometry));
  picture.flip_horizontal = geometry.flip_horizontal ? 1 : 0;
  picture.flip_vertical = geometry.flip_vertical ? 1 : 0;
  picture.planes = Unsigned(choice.frame.num_planes);
  picture.segment_columns = Unsigned(choice.columns.size());
  picture.segments = Unsigned(choice.columns.size() * choice.mcu_rows.size());
  picture.segment_mcus = Unsigned(choice.segment_mcus);
  for (u32 i = 0; i < picture.planes; ++i) {
    picture.plane[i] = PlaneOf(choice, choice.frame.planes[i], region, picture.mcu_blocks);
    picture.mcu_blocks += picture.plane[i].h * picture.plane[i].v;
  }
  picture.x = region.x;
  picture.y = region.y;
  picture.width = region.width;
  picture.height = region.height;
  const auto& [crop, resized, window] = std::tie(geometry.crop, geometry.resized, geometry.window);
  picture.along_x =
      AxisOf(crop.width, resized.width, window.x, window.width, region.x - crop.x, picture.passes);
  picture.along_y = AxisOf(crop.height, resized.height, window.y, window.height, region.y - crop.y,
                           picture.passes);
  return picture;
}

// False for a code that libjpeg would refuse.
bool PutCode(const storage::HuffmanTable& table, region::CodeKind kind, PictureCode* code) {
  if (!IsSoundCode(table, kind)) return false;
  std::copy(table.lengths.begin(), table.lengths.end(), code->lengths);
  std::copy(table.symbols.begin(), table.symbols.end(), code->symbols);
  return true;
}

bool PutData(const region::Frame& frame, PictureData* data) {
  *data = {};
  for (std::size_t i = 0; i < static_cast<std::size_t>(frame.num_planes); ++i) {
    const region::PlaneFrame& plane = frame.planes[i];
    for (std::size_t k = 0; k < kBlockSize; ++k) {
      data->quantizers[i][k] = static_cast<i16>(plane.quantizers[storage::kNaturalPosition[k]]);
    }
    if (!PutCode(frame.dc_tables[plane.dc_table], region::CodeKind::kDc,
                 &data->codes[plane.dc_table]) ||
        !PutCode(frame.ac_tables[plane.ac_table], region::CodeKind::kAc,
                 &data->codes[2 + plane.ac_table])) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<PicturePlan> PlanPicture(const storage::RecordView& record, const Geometry& geometry,
                                       std::span<std::byte> room) {
  constexpr std::size_t kWord = 4;
  const std::size_t image_bytes = static_cast<std::size_t>(geometry.window.width) *
                                  static_cast<std::size_t>(geometry.window.height) * kChannels;
  if (geometry.scale != kFullScale || image_bytes < kLeastHashed) return {};
  const Box region = SourceOf(geometry);
  const std::optional<SegmentChoice> choice = region::ChooseSegments(record, region);
  if (!choice) return {};
  PicturePlan plan{.picture = PictureOf(*choice, geometry, region)};
  const std::size_t segments = plan.picture.segments;
  const std::size_t first = sizeof(PictureData) + segments * sizeof(SegmentPlace);
  if (first > room.size() || MemoryOf(plan.picture).bytes() > kMostMemory) return {};
  PictureData data;
  if (!PutData(choice->frame, &data)) return {};
  std::memcpy(room.data(), &data, sizeof data);
  std::size_t at = first;
  region::SegmentCursor cursor(record, *choice);
  for (std::size_t i = 0; i < segments; ++i) {
    const std::optional<region::StoredSegment> stored = cursor.Next();
    if (!stored || at + stored->bytes + kUnstuffMargin > room.size()) return {};
    const std::optional<std::size_t> bytes = Unstuff(record.payload, *stored, room.data() + at);
    if (!bytes) return {};
    const SegmentPlace place{.word = static_cast<u32>(at / kWord),
                             .bytes = static_cast<u32>(*bytes)};
    std::memcpy(room.data() + sizeof data + i * sizeof place, &place, sizeof place);
    at = (at + *bytes + kWord - 1) / kWord * kWord;
  }
  plan.bytes = at;
  return plan;
}

Picture FinishedPicture() {
  Picture picture{};
  picture.kind = Kind::kPixels;
  return picture;
}

}  // namespace millrace::stages::gpu
