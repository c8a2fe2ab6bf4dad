#include "stages/transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "stages/ops/random_resized_crop.h"
#include "stages/ops/resize_op.h"

namespace millrace::stages {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Transform Make(const std::string& ops) {
  return Transform(Params::FromJson("{\"ops\": [" + ops + "]}", "recipe.toml").Sections("ops"),
                   BuiltInOperations());
}

std::string ErrorOf(const std::string& ops) {
  try {
    Make(ops);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
    return error.what();
  }
  return "no error";
}

constexpr const char* kCrop = R"({"op": "random_resized_crop", "size": 64})";
constexpr const char* kResize = R"({"op": "resize", "size": 73})";
constexpr const char* kCenter = R"({"op": "center_crop", "size": 64})";
constexpr const char* kFlip = R"({"op": "horizontal_flip"})";

std::string List(std::initializer_list<const char*> ops) {
  std::string text;
  for (const char* op : ops) text += (text.empty() ? "" : ", ") + std::string(op);
  return text;
}

TEST(Transform, ValidationListFoldsIntoOneGeometry) {
  const Transform transform = Make(List({kResize, kCenter}));
  EXPECT_EQ(transform.output_size(), (Size{64, 64}));
  const Result<Geometry> plan = transform.Plan({500, 375}, {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->crop, (Box{0, 0, 500, 375}));
  EXPECT_EQ(plan->resized, (Size{97, 73}));
  // (97 - 64) / 2 = 16.5 and (73 - 64) / 2 = 4.5: halves go to the even neighbour.
  EXPECT_EQ(plan->window, (Box{16, 4, 64, 64}));
  EXPECT_FALSE(plan->flip_horizontal);
}

TEST(Transform, OutputSizeIsThatOfTheListWhateverThePicture) {
  EXPECT_EQ(Make(kCrop).output_size(), (Size{64, 64}));
  EXPECT_EQ(Make(R"({"op": "resize", "width": 320, "height": 200}, {"op": "vertical_flip"})")
                .output_size(),
            (Size{320, 200}));
  EXPECT_EQ(Make(R"({"op": "random_resized_crop", "width": 30, "height": 20})").output_size(),
            (Size{30, 20}));
  EXPECT_EQ(Make(List({kCenter, kFlip})).output_size(), (Size{64, 64}));
}

TEST(Transform, ScaledListIsTheOneWithAllItsSizesInProportion) {
  struct Case {
    const char* list;
    const char* scaled;  // to a half
  };
  const Case cases[] = {
      {kCrop, R"({"op": "random_resized_crop", "size": 32})"},
      {R"({"op": "random_resized_crop", "width": 30, "height": 20}, {"op": "horizontal_flip"})",
       R"({"op": "random_resized_crop", "width": 15, "height": 10}, {"op": "horizontal_flip"})"},
      // Half a pixel goes up.
      {R"({"op": "resize", "size": 73}, {"op": "center_crop", "size": 64})",
       R"({"op": "resize", "size": 37}, {"op": "center_crop", "size": 32})"},
      {R"({"op": "resize", "width": 81, "height": 1}, {"op": "vertical_flip"})",
       R"({"op": "resize", "width": 41, "height": 1}, {"op": "vertical_flip"})"},
      {kCenter, R"({"op": "center_crop", "size": 32})"},
  };
  for (const Case& each : cases) {
    const auto ops =
        Params::FromJson(std::string(R"({"ops": [)") + each.list + "]}", "").Sections("ops");
    const Transform scaled(ops, BuiltInOperations(), {.to = 7, .of = 14});
    const Transform wanted = Make(each.scaled);
    EXPECT_EQ(scaled.output_size(), wanted.output_size()) << each.list;
    for (std::uint64_t sample = 0; sample < 20; ++sample) {
      const RandomKey key{.seed = 7, .epoch = 3, .sample_id = sample};
      const Result<Geometry> got = scaled.Plan({500, 375}, key);
      const Result<Geometry> plan = wanted.Plan({500, 375}, key);
      ASSERT_TRUE(got && plan);
      EXPECT_EQ(got->crop, plan->crop);
      EXPECT_EQ(got->resized, plan->resized);
      EXPECT_EQ(got->window, plan->window);
      EXPECT_EQ(got->flip_horizontal, plan->flip_horizontal);
      EXPECT_EQ(got->flip_vertical, plan->flip_vertical);
    }
  }
}

TEST(Transform, SmallerPicturesAreTakenWhereAResizeAverages) {
  EXPECT_TRUE(Make(List({kCrop, kFlip})).TakesSmallerPictures());
  EXPECT_TRUE(Make(List({kResize, kCenter})).TakesSmallerPictures());
  EXPECT_TRUE(Make(R"({"op": "random_resized_crop", "size": 9, "resize": "pillow12"})")
                  .TakesSmallerPictures());
  EXPECT_FALSE(Make(R"({"op": "random_resized_crop", "size": 9, "resize": "opencv"})")
                   .TakesSmallerPictures());
  EXPECT_FALSE(Make(List({kCenter, kFlip})).TakesSmallerPictures());
}

TEST(Transform, PlanIsAPureFunctionOfSizeAndKey) {
  const Transform transform = Make(List({kCrop, kFlip}));
  int differing = 0;
  for (std::uint64_t sample = 0; sample < 500; ++sample) {
    const RandomKey key{.seed = 7, .epoch = 3, .sample_id = sample};
    const Geometry first = *transform.Plan({500, 375}, key);
    const Geometry again = *Make(List({kCrop, kFlip})).Plan({500, 375}, key);
    EXPECT_EQ(first.crop, again.crop);
    EXPECT_EQ(first.flip_horizontal, again.flip_horizontal);
    RandomKey other = key;
    ++other.epoch;
    if (!(transform.Plan({500, 375}, other)->crop == first.crop)) ++differing;
  }
  EXPECT_GT(differing, 490);
}

TEST(Transform, FlipsCancelOut) {
  const char* always = R"({"op": "horizontal_flip", "p": 1.0})";
  EXPECT_TRUE(Make(List({kCrop, always})).Plan({9, 9}, {})->flip_horizontal);
  EXPECT_FALSE(Make(List({kCrop, always, always})).Plan({9, 9}, {})->flip_horizontal);
  EXPECT_FALSE(
      Make(List({kCrop, R"({"op": "vertical_flip", "p": 0.0})"})).Plan({9, 9}, {})->flip_vertical);
}

TEST(Transform, ApplyWritesTheOutputWithoutGaps) {
  const Transform transform = Make(R"({"op": "resize", "width": 5, "height": 3})");
  const Geometry plan = *transform.Plan({5, 3}, {});
  Image source;
  source.Resize(5, 3);
  std::vector<std::uint8_t> expected;
  for (int i = 0; i < 45; ++i) {
    source.row(0)[i] = static_cast<std::uint8_t>(i * 5);
    expected.push_back(static_cast<std::uint8_t>(i * 5));
  }
  std::vector<std::uint8_t> out(45);
  Resizer resizer;
  transform.Apply(plan, source, &resizer, out.data());
  EXPECT_EQ(out, expected);
}

TEST(Transform, PixelOpsDrawFromTheirPlaceInTheList) {
  const char* invert = R"({"op": "invert", "p": 0.5})";
  const Transform transform = Make(List({kCenter, kFlip, invert, invert, invert}));
  EXPECT_TRUE(transform.HasPixelOps());
  EXPECT_FALSE(Make(List({kCenter, kFlip})).HasPixelOps());
  PixelScratch scratch;
  int inverted = 0;
  for (std::uint64_t sample = 0; sample < 64; ++sample) {
    const RandomKey key{.seed = 4, .epoch = 2, .sample_id = sample};
    bool expected = false;
    for (std::uint32_t place = 2; place < 5; ++place) {
      expected ^= RandomStream(key, place).Uniform() < 0.5;
    }
    std::vector<std::uint8_t> pixels(64 * 64 * 3);
    transform.ApplyPixelOps(key, &scratch, pixels.data());
    EXPECT_EQ(pixels.front(), expected ? 255 : 0);
    EXPECT_EQ(pixels.back(), expected ? 255 : 0);
    inverted += expected ? 1 : 0;
  }
  EXPECT_GT(inverted, 16);
  EXPECT_LT(inverted, 48);
}

TEST(Transform, PictureSmallerThanTheCenterCropIsAFault) {
  const Result<Geometry> plan = Make(kCenter).Plan({64, 63}, {});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.fault().message,
            "center_crop takes 64x64 pixels, but only 64x63 reach it; put { op = \"resize\", size "
            "= 64 } before it");
}

TEST(Transform, WrongListIsAnErrorThatSaysWhatIsAllowed) {
  EXPECT_THAT(ErrorOf(""), AllOf(HasSubstr("the list is empty"),
                                 HasSubstr("{ op = \"random_resized_crop\", size = N }")));
  EXPECT_THAT(ErrorOf(kFlip), HasSubstr("output size depends on the picture; add { op ="));
  EXPECT_THAT(ErrorOf(kResize), HasSubstr("output size depends on the picture"));
  EXPECT_THAT(ErrorOf(List({kCrop, kResize})),
              AllOf(HasSubstr("\"resize\" cannot come after \"random_resized_crop\""),
                    HasSubstr("then center_crop, then flips")));
  EXPECT_THAT(ErrorOf(List({kFlip, kCrop})),
              HasSubstr("\"random_resized_crop\" cannot come after \"horizontal_flip\""));
  EXPECT_THAT(ErrorOf(List({kCenter, kCenter})),
              HasSubstr("\"center_crop\" cannot come after \"center_crop\""));
  const char* invert = R"({"op": "invert"})";
  EXPECT_THAT(ErrorOf(List({kCrop, invert, kFlip})),
              AllOf(HasSubstr("\"horizontal_flip\" cannot come after \"invert\""),
                    HasSubstr("then flips, then what changes pixels")));
  EXPECT_THAT(ErrorOf(invert), HasSubstr("output size depends on the picture"));
  EXPECT_THAT(ErrorOf(List({kResize, invert})), HasSubstr("output size depends on the picture"));
  EXPECT_THAT(ErrorOf(List({kResize, R"({"op": "coarse_dropout", "max_width": 500})"})),
              HasSubstr("output size depends on the picture"));
  EXPECT_THAT(ErrorOf(List({kCrop, R"({"op": "equalise"})"})),
              HasSubstr("did you mean \"equalize\""));
  EXPECT_THAT(ErrorOf(R"({"op": "centre_crop", "size": 3})"),
              AllOf(HasSubstr("did you mean \"center_crop\""), HasSubstr("vertical_flip")));
  EXPECT_THAT(ErrorOf(R"({"size": 3})"), HasSubstr("op: is missing"));
}

TEST(Transform, WrongSettingIsAnErrorThatNamesIt) {
  EXPECT_THAT(ErrorOf(R"({"op": "center_crop", "size": 3, "sizes": 4})"), HasSubstr("sizes"));
  EXPECT_THAT(ErrorOf(R"({"op": "center_crop"})"), HasSubstr("size: is missing"));
  EXPECT_THAT(ErrorOf(R"({"op": "center_crop", "size": 0})"), HasSubstr("size"));
  EXPECT_THAT(ErrorOf(R"({"op": "resize", "size": 3, "width": 3, "height": 3})"),
              HasSubstr("size: has no effect beside width and height"));
  EXPECT_THAT(ErrorOf(R"({"op": "resize", "width": 3})"), HasSubstr("height: is missing"));
  EXPECT_THAT(ErrorOf(R"({"op": "random_resized_crop", "size": 3, "scale": [0.5, 0.2]})"),
              HasSubstr("scale: must be two ascending numbers"));
  EXPECT_THAT(ErrorOf(R"({"op": "random_resized_crop", "size": 3, "ratio": [1.0]})"),
              HasSubstr("ratio: must be two ascending numbers"));
  EXPECT_THAT(ErrorOf(R"({"op": "random_resized_crop", "size": 3, "resize": "cv"})"),
              AllOf(HasSubstr("resize"), HasSubstr("pillow12"), HasSubstr("opencv")));
  EXPECT_THAT(ErrorOf(List({kCrop, R"({"op": "vertical_flip", "p": 1.5})"})), HasSubstr("p"));
  EXPECT_THAT(ErrorOf(List({kCrop, R"({"op": "invert", "strength": 1})"})), HasSubstr("strength"));
}

TEST(RandomCropBox, LiesInThePictureWhateverItsShape) {
  for (const Size size :
       {Size{1, 1}, Size{1, 65500}, Size{65500, 1}, Size{7, 300}, Size{500, 375}}) {
    for (std::uint64_t sample = 0; sample < 300; ++sample) {
      const Box box = RandomCropBox(size, {}, RandomStream(RandomKey{.sample_id = sample}, 0));
      EXPECT_GE(box.x, 0);
      EXPECT_GE(box.y, 0);
      EXPECT_GT(box.width, 0);
      EXPECT_GT(box.height, 0);
      EXPECT_LE(box.x + box.width, size.width);
      EXPECT_LE(box.y + box.height, size.height);
    }
  }
}

TEST(ResizeShortSide, CutsTheLongSideToAWholeNumber) {
  EXPECT_EQ(ResizeShortSide({500, 375}, 256), (Size{341, 256}));  // 341.33
  EXPECT_EQ(ResizeShortSide({333, 500}, 256), (Size{256, 384}));  // 384.38
  EXPECT_EQ(ResizeShortSide({100, 100}, 64), (Size{64, 64}));
  EXPECT_EQ(ResizeShortSide({1, 65500}, 16384), (Size{16384, 1073152000}));
}

}  // namespace
}  // namespace millrace::stages
