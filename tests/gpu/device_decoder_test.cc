// The decoder on the device, judged by libjpeg-turbo's decode of the whole picture, by the CPU's
// resize and by its hash: what its twin shows without a device (tests/stages/gpu/twin_test.cc).
#include "stages/gpu/device_decoder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "stages/gpu/device_kernels.h"
#include "tests/gpu/device.h"
#include "tests/stages/gpu/decode_cases.h"
#include "tests/stages/gpu/picture_batch.h"
#include "tests/stages/regions.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::stages::gpu {
namespace {

using storage::RecordView;
using test::Below;
using test::MakeJpeg;
using test::Planes;
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

struct Decoded {
  std::vector<std::uint8_t> pixels;
  std::vector<PictureResult> results;
};

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
  Decoded Decode(std::span<const Picture> pictures, std::span<const std::byte> bytes, Size finished,
                 int times = 1) {
    const std::size_t image_bytes = static_cast<std::size_t>(finished.width) *
                                    static_cast<std::size_t>(finished.height) * kChannels;
    Decoded decoded{.pixels = std::vector<std::uint8_t>(pictures.size() * image_bytes),
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

  std::string DifferenceOf(const PictureBatch& batch, Size finished, int times = 1) {
    const Decoded decoded = Decode(batch.pictures(), batch.bytes(), finished, times);
    return batch.Difference(decoded.pixels, decoded.results);
  }

  cudaStream_t stream_ = nullptr;
  std::unique_ptr<DeviceDecoder> decoder_;
};

constexpr Planes kKnown[] = {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440};
constexpr Size kSizes[] = {{5, 3}, {9, 130}, {130, 9}, {128, 64}, {200, 150}, {517, 131}};

TEST_F(DeviceDecoderTest, CropsOfEverySamplingAreThoseOfTheCpu) {
  std::uint64_t seed = 0;
  for (const Planes planes : kKnown) {
    for (const Size size : kSizes) {
      PictureBatch batch({40, 30});
      const auto jpeg =
          MakeJpeg({.width = size.width, .height = size.height, .seed = ++seed, .planes = planes});
      EXPECT_EQ(AddCrops(jpeg, 48, seed, {40, 30}, &batch), 48);
      ASSERT_EQ(DifferenceOf(batch, {40, 30}), "")
          << fmt::format("planes {}, {}x{}", static_cast<int>(planes), size.width, size.height);
    }
  }
}

TEST_F(DeviceDecoderTest, CropsOfTheTortureSetAreThoseOfTheCpu) {
  std::uint64_t seed = 0;
  int added = 0;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    PictureBatch batch({33, 21});
    if (const int more = AddCrops(bytes, 48, ++seed, {33, 21}, &batch); more > 0) {
      added += more;
      ASSERT_EQ(DifferenceOf(batch, {33, 21}), "") << name;
    }
  }
  EXPECT_GT(added, static_cast<int>(seed) * 48 / 2);
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
  ASSERT_EQ(DifferenceOf(batch, {224, 224}, 6), "");
}

TEST_F(DeviceDecoderTest, PicturesOfEverySizeHaveTheDigestOfTheCpu) {
  const auto jpeg = MakeJpeg({.width = 90, .height = 70});
  for (const Size finished :
       {Size{9, 9}, {11, 31}, {16, 16}, {32, 32}, {100, 1}, {1, 341}, {64, 64}, {224, 224}}) {
    PictureBatch batch(finished);
    EXPECT_EQ(AddCrops(jpeg, 8, 1, finished, &batch), 8);
    batch.AddFinished(1);
    ASSERT_EQ(DifferenceOf(batch, finished), "")
        << fmt::format("{}x{}", finished.width, finished.height);
  }
}

// With damage a picture has the pixels of libjpeg-turbo, or says that it does not know them.
TEST_F(DeviceDecoderTest, DamagedPicturesHaveThePixelsOfLibjpegOrNone) {
  RandomStream random({.seed = 4}, 0);
  int damaged = 0;
  int sound = 0;
  Decoder judge(DecodeEngine::kLibjpegTurbo);
  Resizer resizer;
  Image part;
  const Size finished{24, 18};
  const std::size_t image_bytes = static_cast<std::size_t>(finished.width) *
                                  static_cast<std::size_t>(finished.height) * kChannels;
  storage::JpegRepacker repacker;
  for (const Planes planes : kKnown) {
    const RecordView good =
        test::Pack(repacker, MakeJpeg({.width = 300, .height = 200, .planes = planes}));
    std::vector<std::vector<std::byte>> payloads;
    std::vector<Geometry> geometries;
    std::vector<Picture> pictures;
    std::vector<std::byte> bytes;
    std::vector<std::byte> room(1 << 18);
    for (unsigned round = 0; round < 1000; ++round) {
      std::vector<std::byte> payload(good.payload.begin(), good.payload.end());
      for (int i = Below(random, 4); i >= 0; --i) {
        auto& byte = payload[random.Below(static_cast<std::uint32_t>(payload.size()))];
        byte = round % 2 == 0 ? byte ^ static_cast<std::byte>(1 << random.Below(8))
                              : static_cast<std::byte>(random.Below(256));
      }
      RecordView record = good;
      record.payload = payload;
      const Geometry geometry = MakeGeometry({300, 200}, finished, round, random);
      auto plan = PlanPicture(record, geometry, room);
      if (!plan) continue;
      plan->picture.bytes = bytes.size();
      plan->picture.output = static_cast<u32>(pictures.size());
      pictures.push_back(plan->picture);
      geometries.push_back(geometry);
      payloads.push_back(std::move(payload));
      bytes.insert(bytes.end(), room.begin(),
                   room.begin() + static_cast<std::ptrdiff_t>(plan->bytes));
      bytes.resize((bytes.size() + kBytesAlignment - 1) / kBytesAlignment * kBytesAlignment);
    }
    const Decoded decoded = Decode(pictures, bytes, finished);
    std::vector<std::uint8_t> expected(image_bytes);
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      if (decoded.results[i].is_damaged != 0) {
        ++damaged;
        continue;
      }
      ++sound;
      RecordView record = good;
      record.payload = payloads[i];
      const Outcome outcome = judge.Decode(record, SourceOf(geometries[i]), &part);
      ASSERT_TRUE(outcome) << outcome.fault().message;
      resizer.Resize(geometries[i], part, expected.data(),
                     static_cast<std::size_t>(finished.width) * kChannels);
      ASSERT_EQ(std::memcmp(decoded.pixels.data() + i * image_bytes, expected.data(), image_bytes),
                0)
          << "picture " << i;
    }
  }
  EXPECT_GT(damaged, 500);
  EXPECT_GT(sound, 1000);
}

}  // namespace
}  // namespace millrace::stages::gpu
