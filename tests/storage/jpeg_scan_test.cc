// JpegScanReader, judged by libjpeg: what it accepts is written as the coefficients are that
// libjpeg reads.
#include "storage/jpeg_scan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "storage/jpeg_decoder.h"
#include "storage/jpeg_writer.h"
#include "tests/support/tar_reader.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace millrace::storage {
namespace {

using test::MakeJpeg;
using test::Planes;
using Bytes = std::vector<std::byte>;

class JpegScanTest : public ::testing::Test {
 protected:
  // Whether the scan was accepted; then it is the same as what libjpeg makes of it, which has
  // nothing to complain of.
  bool Accepts(std::span<const std::byte> jpeg) {
    JpegDecoder decoder(jpeg, OnDamage::kFault);
    if (!decoder.ReadHeader() || !decoder.GetScan(&frame_, &scan_)) return false;
    for (const std::uint32_t segment_mcus : {frame_.mcus_per_row(), 1u}) {
      if (!reader_.Read(frame_, scan_, segment_mcus)) return false;
      writer_.Write(frame_, segment_mcus, reader_.tokens());
      ExpectAsCoefficients(jpeg, segment_mcus);
    }
    return true;
  }

 private:
  void ExpectAsCoefficients(std::span<const std::byte> jpeg, std::uint32_t segment_mcus) {
    JpegDecoder judge(jpeg, OnDamage::kFault);
    JpegFrame frame;
    JpegWriter writer;
    ASSERT_TRUE(judge.ReadHeader() && judge.ReadCoefficients()) << judge.Explain().message;
    ASSERT_TRUE(judge.GetFrame(&frame) && writer.Write(frame, segment_mcus));
    EXPECT_TRUE(std::ranges::equal(writer_.bytes(), writer.bytes()));
    EXPECT_TRUE(std::ranges::equal(writer_.segment_bytes(), writer.segment_bytes()));
    EXPECT_EQ(reader_.trailing_bytes(), judge.trailing_bytes());
  }

  JpegFrame frame_;
  JpegScan scan_;
  JpegScanReader reader_;
  JpegWriter writer_;
};

TEST_F(JpegScanTest, SequentialPicturesAreAccepted) {
  for (const auto planes :
       {Planes::kGray, Planes::k444, Planes::k422, Planes::k420, Planes::k440, Planes::k411}) {
    for (const auto& [width, height] : {std::pair{1, 1}, {8, 8}, {17, 33}, {150, 99}}) {
      for (const unsigned restart_interval : {0u, 1u, 5u}) {
        for (const bool optimize : {false, true}) {
          EXPECT_TRUE(Accepts(MakeJpeg({.width = width,
                                        .height = height,
                                        .planes = planes,
                                        .optimize = optimize,
                                        .restart_interval = restart_interval})))
              << width << " x " << height << ", interval " << restart_interval;
        }
      }
    }
  }
}

TEST_F(JpegScanTest, OtherCodingsAreLeftToLibjpeg) {
  EXPECT_FALSE(Accepts(MakeJpeg({.progressive = true})));
  EXPECT_FALSE(Accepts(MakeJpeg({.arithmetic = true})));
  EXPECT_FALSE(Accepts(MakeJpeg({.separate_scans = true})));
}

TEST_F(JpegScanTest, TortureSetIsTheSame) {
  std::size_t accepted = 0;
  for (const auto& [name, bytes] : test::MakeTortureJpegs()) {
    SCOPED_TRACE(name);
    accepted += Accepts(bytes) ? 1 : 0;
  }
  EXPECT_GT(accepted, 500u);
}

TEST_F(JpegScanTest, AnyCutIsLeftToLibjpeg) {
  for (const auto& spec : {test::JpegSpec{.width = 70, .height = 40},
                           {.width = 70, .height = 40, .restart_interval = 3}}) {
    const Bytes jpeg = MakeJpeg(spec);
    for (std::size_t size = 0; size < jpeg.size(); ++size) {
      EXPECT_FALSE(Accepts(std::span(jpeg).first(size))) << size;
    }
  }
}

// Nearly all flipped bits leave a scan that libjpeg warns of; the others are read as it reads them.
TEST_F(JpegScanTest, FlippedBitsAreTheSameOrLeftToLibjpeg) {
  std::size_t accepted = 0;
  for (const auto& spec :
       {test::JpegSpec{.width = 70, .height = 40},
        {.width = 70, .height = 40, .planes = Planes::k444, .restart_interval = 3},
        {.width = 50, .height = 30, .planes = Planes::kGray, .optimize = true}}) {
    const Bytes good = MakeJpeg(spec);
    RandomStream random({.seed = static_cast<std::uint64_t>(good.size())}, 0);
    for (int round = 0; round < 6000; ++round) {
      const Bytes jpeg = test::WithFlippedBits(good, &random);
      const auto info = ReadJpegInfo(jpeg);
      if (info.ok() && info->pixels() > 1'000'000) continue;  // takes its time
      SCOPED_TRACE(round);
      accepted += Accepts(jpeg) ? 1 : 0;
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(accepted, 200u);
}

TEST_F(JpegScanTest, MarkersInPlaceOfOthersAreLeftToLibjpeg) {
  const Bytes good = MakeJpeg({.width = 70, .height = 40, .restart_interval = 3});
  for (std::size_t at = good.size() - 2; at > 0; --at) {
    if (good[at] != std::byte{0xFF}) continue;
    const auto code = std::to_integer<unsigned>(good[at + 1]);
    const bool ends_interval = code == 0xD9 || (code & ~7u) == 0xD0;
    if (!ends_interval) continue;
    for (unsigned other = 0; other < 256; ++other) {
      Bytes jpeg = good;
      jpeg[at + 1] = static_cast<std::byte>(other);
      EXPECT_EQ(Accepts(jpeg), other == code) << "at " << at << ": " << other;
    }
  }
}

TEST_F(JpegScanTest, BytesBeforeAMarkerAreLeftToLibjpeg) {
  Bytes jpeg = MakeJpeg();
  jpeg.insert(jpeg.end() - 2, std::byte{0x55});
  EXPECT_FALSE(Accepts(jpeg));
}

TEST_F(JpegScanTest, LargerPicturesAreLeftToLibjpeg) {
  EXPECT_TRUE(Accepts(MakeJpeg({.width = 2048, .height = 2048, .planes = Planes::k420})));
  EXPECT_FALSE(Accepts(MakeJpeg({.width = 2048, .height = 2048, .planes = Planes::k444})));
}

// `most` of an archive, evenly spread.
void ExpectRealPicturesAccepted(const std::string& archive, std::size_t most, auto accepts) {
  const auto path = millrace::testing::TestData(archive);
  if (path.empty()) GTEST_SKIP() << "set MILLRACE_TEST_DATA to the folder with " << archive;
  std::size_t seen = 0;
  std::size_t accepted = 0;
  const auto files = millrace::testing::ReadTar(path, ".JPEG");
  for (std::size_t i = 0; i < files.size(); i += std::max<std::size_t>(1, files.size() / most)) {
    SCOPED_TRACE(files[i].name);
    ++seen;
    accepted += accepts(files[i].bytes) ? 1 : 0;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GE(seen, most);
  // Some few of the originals are progressive.
  EXPECT_GE(accepted * 100, seen * 95) << accepted << " of " << seen;
}

TEST_F(JpegScanTest, ImageNetOriginalsAreAccepted) {
  ExpectRealPicturesAccepted("imagenet-originals-200.tar", 200,
                             [this](const Bytes& jpeg) { return Accepts(jpeg); });
}

TEST_F(JpegScanTest, ImagenetteIsAccepted) {
  ExpectRealPicturesAccepted("imagenette-224.tar", 500,
                             [this](const Bytes& jpeg) { return Accepts(jpeg); });
}

}  // namespace
}  // namespace millrace::storage
