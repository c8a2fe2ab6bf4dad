// What the device is told of a picture: planned and cut out of the record on the host, so that only
// compressed bytes cross the bus.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "stages/geometry.h"
#include "stages/gpu/kernels/work.inl"
#include "storage/record_view.h"

namespace millrace::stages::gpu {

// Where the bytes of a picture begin in those of a batch. [bytes]
inline constexpr std::size_t kBytesAlignment = 16;

struct PicturePlan {
  Picture picture;        // without `bytes`, `output` and its places
  std::size_t bytes = 0;  // of `room` that are used
};

// Plans a record's picture, and writes what the device needs of it to `room`: PictureData, and of
// the segments that the crop needs their places and their bytes, unstuffed. Nothing where the
// region decoder would not know the picture (stages/region/region_decoder.h) or its segments are
// not where the index says; where it does not fit into `room`; and where the device does not know
// what is asked: a scale, a crop that takes more than kMostMemory there, a picture that is too
// small for its digest. Damage within the segments shows on the device. Pure and reentrant.
// REQUIRES: room begins at a multiple of kBytesAlignment; geometry as for SourceOf()
std::optional<PicturePlan> PlanPicture(const storage::RecordView& record, const Geometry& geometry,
                                       std::span<std::byte> room);

// Of a picture whose finished pixels are in the batch's bytes.
Picture FinishedPicture();

}  // namespace millrace::stages::gpu
