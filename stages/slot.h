// A slot: the memory of one batch on its way through the graph. The number of slots bounds all work
// in flight.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "stages/batch.h"
#include "stages/geometry.h"
#include "stages/gpu/kernels/work.inl"
#include "stages/image.h"
#include "storage/record_view.h"

namespace millrace::stages {

// What the stages hand on for one sample besides the message; each sample's is touched by one stage
// at a time.
struct SampleState {
  std::uint64_t sample_id = 0;
  std::uint32_t copy = 0;      // of those of this sample in its global batch; each draws for itself
  storage::RecordView record;  // read -> decode
  // plan -> decode: keeps what `record` points into, where that is not the reader's map; its type
  // is known to whoever plans and reads.
  std::shared_ptr<const void> record_memory;
  Geometry geometry;  // decode -> augment
  // decode -> augment: the part of the picture that augment reads; none where decode has resized it
  std::unique_ptr<Image> decoded;
  std::uint64_t decoded_bytes = 0;  // by decode: pixels before the resize, wherever they went
  std::uint64_t digest = 0;         // augment -> collate: XXH3-64 of the finished pixels
  gpu::Picture for_device;          // decode or augment -> copy, where the slot has cargo
};

// Host memory for pixels, released by its deleter. A lane on a device that copies from pinned
// memory brings its own allocator; everybody else takes AllocatePageable.
using PixelMemory = std::unique_ptr<std::uint8_t[], std::function<void(std::uint8_t*)>>;
using PixelAllocator = std::function<PixelMemory(std::size_t bytes)>;

inline PixelMemory AllocatePageable(std::size_t bytes) {
  constexpr std::align_val_t kAlignment{64};
  return {static_cast<std::uint8_t*>(::operator new(bytes, kAlignment)),
          [](std::uint8_t* memory) { ::operator delete (memory, std::align_val_t{64}); }};
}

// What a batch's digest has of one sample. `position` in its epoch, so that the order enters;
// `pixels` is SampleState::digest.
inline std::uint64_t SampleDigest(std::uint64_t position, std::uint64_t sample_id,
                                  std::int64_t label, std::uint64_t pixels) {
  std::array<std::byte, 32> bytes{};
  std::size_t at = 0;
  for (const std::uint64_t value :
       {position, sample_id, static_cast<std::uint64_t>(label), pixels}) {
    for (unsigned shift = 0; shift < 64; shift += 8) bytes[at++] = std::byte(value >> shift);
  }
  return Hash64(bytes);
}

// Pixels uint8 [batch, height, width, 3], labels and per-sample state of one batch. Made once, used
// for many batches. Samples of different index may be written from different threads at the same
// time.
//
// Where pictures are decoded on the device (stages/gpu) the memory of the pixels is the batch's
// cargo instead: of each sample what crosses the bus, in any order, as its SampleState::for_device
// says; digests come back from the device.
class Slot {
 public:
  // `max_samples` and `max_image_bytes` cover every batch the slot will hold.
  Slot(std::uint32_t number, std::uint32_t max_samples, std::size_t max_image_bytes,
       const PixelAllocator& allocate = AllocatePageable)
      : number_(number),
        max_image_bytes_(max_image_bytes),
        cargo_room_(max_samples * Aligned(max_image_bytes)),
        pixels_(allocate(cargo_room_)),
        labels_(max_samples),
        samples_(max_samples) {}

  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Starts a new batch of pictures of `picture` size. REQUIRES: nothing of the slot's previous
  // batch is in flight
  void Begin(const Batch& batch, Size picture) {
    MILLRACE_CHECK(batch.size > 0 && batch.size <= samples_.size());
    picture_ = picture;
    image_bytes_ = static_cast<std::size_t>(picture.width) *
                   static_cast<std::size_t>(picture.height) * kChannels;
    MILLRACE_CHECK(image_bytes_ <= max_image_bytes_);
    batch_ = batch;
    // A batch that nobody fills again keeps what is there.
    if (const std::uint64_t claims = cargo_claims_.exchange(0, std::memory_order_relaxed)) {
      kept_claims_ = claims;
    }
    remaining_.store(batch.size, std::memory_order_relaxed);
  }

  // One sample is finished. Returns true to the caller that finished the last one, with all others'
  // writes visible.
  bool FinishSample() { return remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  std::uint32_t number() const { return number_; }  // index among the graph's slots
  const Batch& batch() const { return batch_; }
  Size picture() const { return picture_; }                 // of every picture in the batch
  std::size_t image_bytes() const { return image_bytes_; }  // [bytes] of one picture, no padding

  std::uint8_t* image(std::uint32_t index) { return pixels_.get() + index * image_bytes_; }
  std::span<const std::uint8_t> pixels() const {  // [batch().size, height, width, 3]
    return {pixels_.get(), batch_.size * image_bytes_};
  }

  // A place for a sample's cargo, from any thread, once a sample. Nothing where so many bytes would
  // leave too little for the others, each of which can have those of a finished picture: never
  // where `bytes` are not more than that.
  std::optional<std::size_t> ClaimCargo(std::size_t bytes) {
    const std::size_t wanted = Aligned(bytes);
    const std::size_t each = Aligned(image_bytes_);
    std::uint64_t claims = cargo_claims_.load(std::memory_order_relaxed);
    std::uint64_t with = 0;
    do {
      const std::size_t others = batch_.size - (claims & kMostSamples) - 1;
      with = claims + (wanted << kSampleBits) + 1;
      if (wanted > each && (with >> kSampleBits) + others * each > cargo_room_) return {};
    } while (!cargo_claims_.compare_exchange_weak(claims, with, std::memory_order_relaxed));
    return claims >> kSampleBits;
  }
  std::uint8_t* cargo_at(std::size_t place) { return pixels_.get() + place; }
  // Of the whole batch; empty where it holds pixels.
  std::span<const std::uint8_t> cargo() const {
    const std::uint64_t claims = cargo_claims_.load(std::memory_order_relaxed);
    return {pixels_.get(), (claims != 0 ? claims : kept_claims_) >> kSampleBits};
  }

  std::int64_t& label(std::uint32_t index) { return labels_[index]; }
  std::span<const std::int64_t> labels() const { return {labels_.data(), batch_.size}; }
  SampleState& sample(std::uint32_t index) { return samples_[index]; }
  const SampleState& sample(std::uint32_t index) const { return samples_[index]; }

  // The sum of its samples' digests: equal for equal batches, whatever worker did what, and sums
  // over the pieces of a global batch are equal however it was cut into pieces.
  std::uint64_t Digest() const {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < batch_.size; ++i) {
      sum += SampleDigest(batch_.first_position + i, samples_[i].sample_id, labels_[i],
                          samples_[i].digest);
    }
    return sum;
  }

 private:
  // Claims are one number, so that both parts change together: above these bits the bytes that were
  // claimed, in them the samples that have.
  static constexpr int kSampleBits = 24;
  static constexpr std::uint64_t kMostSamples = (1 << kSampleBits) - 1;

  static constexpr std::size_t Aligned(std::size_t bytes) {
    constexpr std::size_t kAlignment = 16;  // gpu::kBytesAlignment
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  const std::uint32_t number_;
  const std::size_t max_image_bytes_;  // [bytes]
  const std::size_t cargo_room_;       // [bytes]
  PixelMemory pixels_;
  std::vector<std::int64_t> labels_;
  std::vector<SampleState> samples_;
  Batch batch_;
  Size picture_;
  std::size_t image_bytes_ = 0;
  std::atomic<std::uint32_t> remaining_{0};
  std::atomic<std::uint64_t> cargo_claims_{0};
  std::uint64_t kept_claims_ = 0;  // of the last batch that had some
};

}  // namespace millrace::stages
