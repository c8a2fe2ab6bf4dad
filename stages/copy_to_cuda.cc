#include "stages/copy_to_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "stages/gpu/device_decoder.h"
#include "stages/gpu/device_normalize.h"

namespace millrace::stages {
namespace {

// Memory of one batch on its way.
struct Landing {
  Slot* slot = nullptr;
  at::Tensor pixels;          // uint8, flat, on the device
  at::Tensor labels;          // int64, on the device
  at::Tensor host_labels;     // int64, pinned: a slot's are not
  gpu::PinnedMemory results;  // gpu::PictureResult by place in the batch, of a slot with cargo
  bool is_decoded = false;    // it had cargo
  // A thread that waits for it sleeps: its core is wanted by those that make the next batches.
  at::cuda::CUDAEvent copied{cudaEventDisableTiming | cudaEventBlockingSync};
  at::cuda::CUDAEvent consumed;  // by the stream that computes
  std::int64_t samples = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
};

// At least `count` elements, flat. Returns whether the memory is new.
bool Reserve(at::Tensor& tensor, std::int64_t count, const at::TensorOptions& options) {
  if (tensor.defined() && tensor.numel() >= count) return false;
  tensor.reset();  // before the new one is there
  tensor = at::empty({count}, options);
  return true;
}

gpu::Output OutputOf(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::BFloat16:
      return gpu::Output::kBfloat16;
    case c10::ScalarType::Half:
      return gpu::Output::kFloat16;
    default:
      MILLRACE_CHECK(type == c10::ScalarType::Float);
      return gpu::Output::kFloat32;
  }
}

}  // namespace

struct CopyToCuda::Impl {
  Impl(const ChannelStatistics& statistics, ImageFormat image_format, DecodeOnHost on_host)
      : device(c10::kCUDA, c10::cuda::current_device()),
        format(image_format),
        normalize(statistics),
        decode_on_host(std::move(on_host)),
        // What the next step waits for comes first.
        stream(at::cuda::getStreamFromPool(/*isHighPriority=*/true)) {}

  Landing& Oldest() { return landings[taken % landings.size()]; }
  void CopyPixels(const Landing& landing);
  void Decode(Landing& landing);
  void FinishDecoded(Landing& landing);

  c10::Device device;
  ImageFormat format;
  gpu::DeviceNormalize normalize;
  DecodeOnHost decode_on_host;
  at::cuda::CUDAStream stream;  // of copies and decoding
  std::optional<gpu::DeviceDecoder> decoder;
  std::vector<gpu::Picture> pictures;
  std::array<Landing, 2> landings;
  std::uint64_t started = 0;
  std::uint64_t taken = 0;
  at::Tensor images;  // flat
  at::Tensor labels;  // flat
};

CopyToCuda::CopyToCuda(const ChannelStatistics& statistics, ImageFormat format,
                       DecodeOnHost decode_on_host)
    : impl_(std::make_unique<Impl>(statistics, format, std::move(decode_on_host))) {}

CopyToCuda::~CopyToCuda() = default;

void CopyToCuda::Start(Slot& slot) {
  MILLRACE_CHECK(impl_->started - impl_->taken < impl_->landings.size());
  Landing& landing = impl_->landings[impl_->started++ % impl_->landings.size()];
  landing.slot = &slot;
  landing.samples = static_cast<std::int64_t>(slot.batch().size);
  landing.height = slot.picture().height;
  landing.width = slot.picture().width;
  const at::TensorOptions on_device(impl_->device);
  const bool new_pixels = Reserve(landing.pixels, static_cast<std::int64_t>(slot.pixels().size()),
                                  on_device.dtype(at::kByte));
  const bool new_labels = Reserve(landing.labels, landing.samples, on_device.dtype(at::kLong));
  // Memory that is new may still be in use by what the computing stream did with it before.
  if (new_pixels || new_labels) landing.consumed.record();
  Reserve(landing.host_labels, landing.samples,
          at::TensorOptions(at::kCPU).dtype(at::kLong).pinned_memory(true));
  std::memcpy(landing.host_labels.data_ptr(), slot.labels().data(), slot.labels().size_bytes());

  landing.consumed.block(impl_->stream);
  landing.is_decoded = !slot.cargo().empty();
  if (landing.is_decoded) {
    impl_->Decode(landing);
  } else {
    impl_->CopyPixels(landing);
  }
  C10_CUDA_CHECK(cudaMemcpyAsync(landing.labels.data_ptr(), landing.host_labels.data_ptr(),
                                 slot.labels().size_bytes(), cudaMemcpyHostToDevice,
                                 impl_->stream));
  landing.copied.record(impl_->stream);
}

void CopyToCuda::Impl::CopyPixels(const Landing& landing) {
  const std::span<const std::uint8_t> pixels = landing.slot->pixels();
  C10_CUDA_CHECK(cudaMemcpyAsync(landing.pixels.data_ptr(), pixels.data(), pixels.size(),
                                 cudaMemcpyHostToDevice, stream));
}

void CopyToCuda::Impl::Decode(Landing& landing) {
  const Slot& slot = *landing.slot;
  pictures.resize(slot.batch().size);
  for (std::uint32_t i = 0; i < slot.batch().size; ++i) pictures[i] = slot.sample(i).for_device;
  landing.results.Reserve(pictures.size() * sizeof(gpu::PictureResult));
  if (!decoder) decoder.emplace(stream);
  decoder->Decode({.pictures = pictures,
                   .bytes = std::as_bytes(slot.cargo()),
                   .finished = slot.picture(),
                   .out = landing.pixels.data_ptr<std::uint8_t>(),
                   .results = reinterpret_cast<gpu::PictureResult*>(landing.results.data())});
}

// Learns from the device what it has decoded, and replaces what it could not.
void CopyToCuda::Impl::FinishDecoded(Landing& landing) {
  landing.copied.synchronize();
  Slot& slot = *landing.slot;
  const auto* results = reinterpret_cast<const gpu::PictureResult*>(landing.results.data());
  std::vector<std::uint8_t> pixels;
  for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
    SampleState& state = slot.sample(i);
    if (state.for_device.kind != gpu::Kind::kSegments) continue;
    state.digest = results[i].digest;
    if (results[i].is_damaged == 0) continue;
    pixels.resize(slot.image_bytes());
    decode_on_host(slot, i, pixels.data());
    state.digest = Hash64(std::as_bytes(std::span(pixels)));
    C10_CUDA_CHECK(cudaMemcpyAsync(landing.pixels.data_ptr<std::uint8_t>() + i * slot.image_bytes(),
                                   pixels.data(), pixels.size(), cudaMemcpyHostToDevice, stream));
    C10_CUDA_CHECK(cudaStreamSynchronize(stream));  // before `pixels` holds another one
  }
}

DeviceBatch CopyToCuda::Take() {
  MILLRACE_CHECK(impl_->taken < impl_->started);
  Landing& landing = impl_->Oldest();
  ++impl_->taken;
  if (landing.is_decoded) impl_->FinishDecoded(landing);
  const at::cuda::CUDAStream computing = at::cuda::getCurrentCUDAStream();
  landing.copied.block(computing);
  const std::int64_t pixels = landing.height * landing.width;
  const std::int64_t values = landing.samples * pixels * kChannels;
  const at::TensorOptions on_device(impl_->device);
  Reserve(impl_->images, values, on_device.dtype(impl_->format.type));
  Reserve(impl_->labels, landing.samples, on_device.dtype(at::kLong));
  const Size picture{static_cast<int>(landing.width), static_cast<int>(landing.height)};
  DeviceBatch batch{
      .images = SeeAsImages(impl_->images, landing.samples, picture, impl_->format.layout),
      .labels = impl_->labels.narrow(0, 0, landing.samples)};
  impl_->normalize(landing.pixels.data_ptr<std::uint8_t>(),
                   static_cast<std::size_t>(landing.samples), static_cast<std::size_t>(pixels),
                   impl_->format.layout, OutputOf(impl_->format.type), impl_->images.data_ptr(),
                   computing);
  batch.labels.copy_(landing.labels.narrow(0, 0, landing.samples));
  landing.consumed.record();
  return batch;
}

void CopyToCuda::WaitUntilRead() {
  MILLRACE_CHECK(impl_->taken > 0);
  impl_->landings[(impl_->taken - 1) % impl_->landings.size()].copied.synchronize();
}

}  // namespace millrace::stages
