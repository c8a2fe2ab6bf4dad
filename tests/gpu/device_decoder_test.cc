// The decoder on the device: what its twin shows without one (tests/stages/gpu/twin_test.cc).
#include "stages/gpu/device_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "stages/gpu/device_kernels.h"
#include "tests/gpu/device.h"
#include "tests/stages/gpu/decode_cases.h"
#include "tests/stages/gpu/picture_batch.h"
#include "tests/support/tar_reader.h"

namespace millrace::stages::gpu {
namespace {

using ::testing::StartsWith;

TEST(DeviceKernels, AreCompiledWithoutADevice) {
  // The oldest that CUDA 13 knows, and those of A100, H100 and B200.
  for (const int capability : {75, 80, 90, 100}) {
    for (const char* main : {"decode.cu", "normalize.cu"}) {
      EXPECT_THAT(CompileKernels(DeviceKernels(), main, capability), StartsWith("\x7f"
                                                                                "ELF"));
    }
  }
}

class DeviceDecoderTest : public test::OnDevice {
 protected:
  void SetUp() override {
    test::OnDevice::SetUp();
    if (IsSkipped()) return;
    RequireCuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
    decoder_ = std::make_unique<DeviceDecoder>(stream_);
  }

  void TearDown() override {
    decoder_.reset();
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  // Enqueues the batch `times` times, and what came of it the last time.
  DecodedBatch Decode(std::span<const Picture> pictures, std::span<const std::byte> bytes,
                      Size finished, int times = 1) {
    const std::size_t image_bytes = static_cast<std::size_t>(finished.width) *
                                    static_cast<std::size_t>(finished.height) * kChannels;
    DecodedBatch decoded{.pixels = std::vector<std::uint8_t>(pictures.size() * image_bytes),
                         .results = std::vector<PictureResult>(pictures.size())};
    DeviceMemory out(stream_);
    out.Reserve(decoded.pixels.size());
    PinnedMemory pinned;
    pinned.Reserve(bytes.size());
    std::memcpy(pinned.data(), bytes.data(), bytes.size());
    PinnedMemory results;
    results.Reserve(decoded.results.size() * sizeof(PictureResult));
    for (int i = 0; i < times; ++i) {
      decoder_->Decode({.pictures = pictures,
                        .bytes = {pinned.data(), bytes.size()},
                        .finished = finished,
                        .out = out.as<std::uint8_t>(),
                        .results = reinterpret_cast<PictureResult*>(results.data())});
    }
    RequireCuda(cudaMemcpyAsync(decoded.pixels.data(), out.as<void>(), decoded.pixels.size(),
                                cudaMemcpyDefault, stream_),
                "copy");
    RequireCuda(cudaStreamSynchronize(stream_), "the kernels");
    std::memcpy(decoded.results.data(), results.data(),
                decoded.results.size() * sizeof(PictureResult));
    return decoded;
  }

  DecodePictures Once() {
    return [this](std::span<const Picture> pictures, std::span<const std::byte> bytes,
                  Size finished) { return Decode(pictures, bytes, finished); };
  }

  cudaStream_t stream_ = nullptr;
  std::unique_ptr<DeviceDecoder> decoder_;
};

TEST_F(DeviceDecoderTest, CropsOfEverySamplingAreThoseOfTheCpu) {
  ExpectCropsOfEverySamplingAreThoseOfTheCpu(Once());
}

TEST_F(DeviceDecoderTest, CropsOfTheTortureSetAreThoseOfTheCpu) {
  ExpectCropsOfTheTortureSetAreThoseOfTheCpu(Once());
}

TEST_F(DeviceDecoderTest, CropsOfImageNetOriginalsAreThoseOfTheCpu) {
  const auto path = millrace::testing::TestData("imagenet-originals-200.tar");
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with the originals";
  std::uint64_t seed = 0;
  int added = 0;
  PictureBatch batch({224, 224});
  for (const auto& file : millrace::testing::ReadTar(path, ".JPEG")) {
    added += AddCrops(file.bytes, 5, ++seed, {224, 224}, &batch);
  }
  EXPECT_EQ(seed, 200u);
  EXPECT_GT(added, 200 * 5 * 95 / 100);
  // About a thousand, in a few chunks; over again, so that a batch follows on the heels of another.
  ASSERT_EQ(batch.Difference(Decode(batch.pictures(), batch.bytes(), batch.finished(), 6)), "");
}

TEST_F(DeviceDecoderTest, PicturesOfEverySizeHaveTheDigestOfTheCpu) {
  ExpectPicturesOfEverySizeHaveTheDigestOfTheCpu(Once());
}

TEST_F(DeviceDecoderTest, DamagedPicturesHaveThePixelsOfLibjpegOrNone) {
  ExpectDamagedPicturesHaveThePixelsOfLibjpegOrNone(Once(), 4000, 1000);
}

}  // namespace
}  // namespace millrace::stages::gpu
