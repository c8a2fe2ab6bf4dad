#include "stages/copy_to_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "stages/copy_normalize.h"

namespace millrace::stages {
namespace {

// Memory of one batch on its way.
struct Landing {
  at::Tensor bytes;        // uint8, flat, on the device
  at::Tensor labels;       // int64, on the device
  at::Tensor host_labels;  // int64, pinned: a slot's are not
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

}  // namespace

struct CopyToCuda::Impl {
  Impl(const ChannelStatistics& statistics, c10::ScalarType type)
      : device(c10::kCUDA, c10::cuda::current_device()),
        image_type(type),
        normalize(statistics, device),
        stream(at::cuda::getStreamFromPool()) {}

  c10::Device device;
  c10::ScalarType image_type;
  DeviceNormalizer normalize;
  at::cuda::CUDAStream stream;  // of the copies
  std::array<Landing, 2> landings;
  std::uint64_t started = 0;
  std::uint64_t taken = 0;
  at::Tensor images;  // flat
  at::Tensor labels;  // flat
};

CopyToCuda::CopyToCuda(const ChannelStatistics& statistics, c10::ScalarType image_type)
    : impl_(std::make_unique<Impl>(statistics, image_type)) {}

CopyToCuda::~CopyToCuda() = default;

void CopyToCuda::Start(const Slot& slot) {
  MILLRACE_CHECK(impl_->started - impl_->taken < impl_->landings.size());
  Landing& landing = impl_->landings[impl_->started++ % impl_->landings.size()];
  landing.samples = static_cast<std::int64_t>(slot.batch().size);
  landing.height = slot.picture().height;
  landing.width = slot.picture().width;
  const at::TensorOptions on_device(impl_->device);
  const bool new_bytes = Reserve(landing.bytes, static_cast<std::int64_t>(slot.pixels().size()),
                                 on_device.dtype(at::kByte));
  const bool new_labels = Reserve(landing.labels, landing.samples, on_device.dtype(at::kLong));
  // Memory that is new may still be in use by what the computing stream did with it before.
  if (new_bytes || new_labels) landing.consumed.record();
  Reserve(landing.host_labels, landing.samples,
          at::TensorOptions(at::kCPU).dtype(at::kLong).pinned_memory(true));
  std::memcpy(landing.host_labels.data_ptr(), slot.labels().data(), slot.labels().size_bytes());

  landing.consumed.block(impl_->stream);
  C10_CUDA_CHECK(cudaMemcpyAsync(landing.bytes.data_ptr(), slot.pixels().data(),
                                 slot.pixels().size(), cudaMemcpyHostToDevice, impl_->stream));
  C10_CUDA_CHECK(cudaMemcpyAsync(landing.labels.data_ptr(), landing.host_labels.data_ptr(),
                                 slot.labels().size_bytes(), cudaMemcpyHostToDevice,
                                 impl_->stream));
  landing.copied.record(impl_->stream);
}

DeviceBatch CopyToCuda::Take() {
  MILLRACE_CHECK(impl_->taken < impl_->started);
  Landing& landing = impl_->landings[impl_->taken++ % impl_->landings.size()];
  landing.copied.block(at::cuda::getCurrentCUDAStream());
  const std::int64_t values = landing.samples * landing.height * landing.width * kChannels;
  const at::TensorOptions on_device(impl_->device);
  Reserve(impl_->images, values, on_device.dtype(impl_->image_type));
  Reserve(impl_->labels, landing.samples, on_device.dtype(at::kLong));
  const auto as_pictures = [&](const at::Tensor& flat) {
    return flat.narrow(0, 0, values)
        .view({landing.samples, landing.height, landing.width, std::int64_t{kChannels}});
  };
  DeviceBatch batch{.images = as_pictures(impl_->images).permute({0, 3, 1, 2}),
                    .labels = impl_->labels.narrow(0, 0, landing.samples)};
  impl_->normalize(as_pictures(landing.bytes), batch.images);
  batch.labels.copy_(landing.labels.narrow(0, 0, landing.samples));
  landing.consumed.record();
  return batch;
}

void CopyToCuda::WaitUntilRead() {
  MILLRACE_CHECK(impl_->taken > 0);
  impl_->landings[(impl_->taken - 1) % impl_->landings.size()].copied.synchronize();
}

}  // namespace millrace::stages
