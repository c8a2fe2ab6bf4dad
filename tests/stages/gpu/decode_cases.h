// Pictures of every kind that the device decodes, with crops that touch all edges, resizes of all
// arithmetics and flips: for the device and for its twin.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"
#include "stages/decode.h"
#include "storage/jpeg_repack.h"
#include "tests/stages/gpu/picture_batch.h"

namespace millrace::stages::gpu {

// Geometries for one picture, different for each `number`: what of it is cropped, to what it is
// resized, what is kept of that, how it is flipped.
Geometry MakeGeometry(Size picture, Size finished, unsigned number, RandomStream& random);

// Adds `count` crops of a JPEG, from all edges in turn. Returns how many are for the device.
int AddCrops(std::span<const std::byte> jpeg, int count, std::uint64_t seed, Size finished,
             PictureBatch* batch);

}  // namespace millrace::stages::gpu
