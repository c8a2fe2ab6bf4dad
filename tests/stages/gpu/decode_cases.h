// What a decoder of planned pictures has to show: the one on the device and its twin alike, judged
// by libjpeg-turbo's decode of the whole picture, by the CPU's resize and by its hash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "stages/geometry.h"
#include "stages/gpu/kernels/work.inl"
#include "tests/stages/gpu/picture_batch.h"

namespace millrace::stages::gpu {

using DecodePictures = std::function<DecodedBatch(std::span<const Picture> pictures,
                                                  std::span<const std::byte> bytes, Size finished)>;

// Adds `count` crops of a JPEG that touch all edges in turn, with resizes of all arithmetics,
// windows and flips. Returns how many are for the device.
int AddCrops(std::span<const std::byte> jpeg, int count, std::uint64_t seed, Size finished,
             PictureBatch* batch);

// Of all samplings that it knows, and sizes of one segment, of few, of many, also where MCUs reach
// beyond the edges.
void ExpectCropsOfEverySamplingAreThoseOfTheCpu(const DecodePictures& decode);

void ExpectCropsOfTheTortureSetAreThoseOfTheCpu(const DecodePictures& decode);

// Of sizes that leave a rest of every kind for the digest, from the smallest that has one.
void ExpectPicturesOfEverySizeHaveTheDigestOfTheCpu(const DecodePictures& decode);

// With damage a picture has the pixels of libjpeg-turbo, or says that it does not know them.
// `rounds` pictures of each sampling, `together` at a time.
void ExpectDamagedPicturesHaveThePixelsOfLibjpegOrNone(const DecodePictures& decode,
                                                       unsigned rounds, std::size_t together);

}  // namespace millrace::stages::gpu
