#include "storage/payload_check.h"

#include <gtest/gtest.h>

#include "storage/png_picture.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

TEST(PayloadCheck, FactsAreThoseOfThePictureWhateverItsKind) {
  const auto jpeg = test::MakeJpeg({.width = 31, .height = 17, .planes = test::Planes::k444});
  EXPECT_EQ(*CheckPayloadPicture(jpeg), (PayloadInfo{31, 17, Subsampling::k444}));
  EXPECT_EQ(PayloadExtension(jpeg), ".jpg");
  const auto png = test::MakePng(31, 17, 1);
  EXPECT_EQ(*CheckPayloadPicture(png), (PayloadInfo{31, 17, Subsampling::kUnknown}));
  EXPECT_EQ(PayloadExtension(png), ".png");
  const Pixels gray{.width = 3, .height = 1, .channels = 1, .bytes = {0, 100, 200}};
  EXPECT_EQ(*CheckPayloadPicture(MakePngPayload(gray)), (PayloadInfo{3, 1, Subsampling::kGray}));
}

TEST(PayloadCheck, FaultsAreThoseOfThePictureWhateverItsKind) {
  auto jpeg = test::MakeJpeg();
  jpeg.resize(jpeg.size() - 50);
  EXPECT_EQ(CheckPayloadPicture(jpeg).fault().message,
            "a truncated JPEG: the file ends before the picture does");
  auto png = test::MakePng(31, 17, 1);
  png.resize(png.size() - 50);
  EXPECT_EQ(CheckPayloadPicture(png).fault().message,
            "a truncated PNG: the file ends before the picture does");
  EXPECT_EQ(CheckPayloadPicture({}).fault().message, "an empty file");
}

}  // namespace
}  // namespace millrace::storage
