#include "pipeline/synth.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "pipeline/synth_picture.h"
#include "stages/decode.h"
#include "storage/jpeg_info.h"
#include "tests/support/error_text.h"
#include "tests/support/tar_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using millrace::testing::ReadTar;
using ::testing::HasSubstr;

// ---- pictures ----

TEST(SynthPictures, AreAFunctionOfTheirKeyAndNothingElse) {
  const SynthPictures first(7);
  const SynthPictures second(7);
  const SynthKey key{.split = 0, .label = 3, .number = 5};
  const auto picture = first.Make(key);
  first.Make({.split = 0, .label = 9, .number = 1});
  EXPECT_EQ(first.Make(key), picture);
  EXPECT_EQ(second.Make(key), picture);
  EXPECT_NE(first.Make({.split = 1, .label = 3, .number = 5}), picture);
  EXPECT_NE(first.Make({.split = 0, .label = 4, .number = 5}), picture);
  EXPECT_NE(first.Make({.split = 0, .label = 3, .number = 6}), picture);
  EXPECT_NE(SynthPictures(8).Make(key), picture);
}

TEST(SynthPictures, SizesAndSamplingAreAboutThoseOfImageNet) {
  const SynthPictures pictures(1);
  constexpr std::uint32_t kCount = 400;
  std::uint64_t bytes = 0;
  std::uint64_t pixels = 0;
  std::map<storage::Subsampling, int> per_sampling;
  int upright = 0;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const auto jpeg = pictures.Make({.label = i % 50, .number = i / 50});
    const auto info = storage::CheckJpeg(jpeg);
    ASSERT_TRUE(info.ok()) << info.fault().message;
    bytes += jpeg.size();
    pixels += std::uint64_t{info->width} * info->height;
    ++per_sampling[info->subsampling];
    if (info->height > info->width) ++upright;
  }
  EXPECT_NEAR(static_cast<double>(bytes) / kCount, 110e3, 20e3);
  EXPECT_NEAR(static_cast<double>(pixels) / kCount, 500 * 375, 25e3);
  EXPECT_NEAR(upright, 0.27 * kCount, 0.08 * kCount);
  EXPECT_NEAR(per_sampling[storage::Subsampling::k444], 0.77 * kCount, 0.08 * kCount);
  EXPECT_NEAR(per_sampling[storage::Subsampling::k420], 0.21 * kCount, 0.08 * kCount);
  EXPECT_GE(per_sampling[storage::Subsampling::kGray], 1);
}

// Mean colours of a picture cut into 4 x 4 pieces.
std::vector<double> Thumbnail(const std::vector<std::byte>& jpeg) {
  static stages::Decoder decoder;
  static stages::Image image;
  EXPECT_TRUE(decoder.DecodeFull(jpeg, &image));
  constexpr int kPieces = 4;
  std::vector<double> sums(kPieces * kPieces * 3);
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      const int piece = y * kPieces / image.height() * kPieces + x * kPieces / image.width();
      for (int c = 0; c < 3; ++c) {
        sums[static_cast<std::size_t>(piece * 3 + c)] += image.row(y)[x * 3 + c];
      }
    }
  }
  const double area = double(image.width()) * image.height() / (kPieces * kPieces);
  for (double& sum : sums) sum /= area;
  return sums;
}

double Distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

TEST(SynthPictures, ClassesCanBeLearned) {
  constexpr std::uint32_t kClasses = 10;
  constexpr std::uint32_t kExamples = 12;
  constexpr std::uint32_t kTests = 8;
  const SynthPictures pictures(1);
  std::vector<std::vector<double>> centroids;
  for (std::uint32_t label = 0; label < kClasses; ++label) {
    std::vector<double> sum(48);
    for (std::uint32_t i = 0; i < kExamples; ++i) {
      const auto thumbnail = Thumbnail(pictures.Make({.label = label, .number = i}));
      for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += thumbnail[j] / kExamples;
    }
    centroids.push_back(sum);
  }
  int right = 0;
  for (std::uint32_t label = 0; label < kClasses; ++label) {
    for (std::uint32_t i = 0; i < kTests; ++i) {
      const auto thumbnail = Thumbnail(pictures.Make({.split = 1, .label = label, .number = i}));
      const auto nearest =
          std::min_element(centroids.begin(), centroids.end(), [&](const auto& a, const auto& b) {
            return Distance(a, thumbnail) < Distance(b, thumbnail);
          });
      if (nearest - centroids.begin() == static_cast<std::ptrdiff_t>(label)) ++right;
    }
  }
  RecordProperty("right", right);
  // One in ten is chance.
  EXPECT_GT(right, static_cast<int>(kClasses * kTests / 2));
}

// ---- sets ----

// Hashes of the pictures, each with its class: what must be the same in every layout.
using Content = std::multiset<std::pair<std::string, std::uint64_t>>;

Content OfFolder(const fs::path& root) {
  Content content;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(entry.path().extension(), ".JPEG");
    content.emplace(entry.path().parent_path().filename().string(), Hash64(ReadFile(entry.path())));
  }
  return content;
}

Content OfTrainTar(const fs::path& root) {
  Content content;
  const test::TemporaryFolder scratch;
  for (const auto& inner : ReadTar(root / "ILSVRC2012_img_train.tar", ".tar")) {
    test::WriteBytes(scratch / "inner.tar", inner.bytes);
    for (const auto& member : ReadTar(scratch / "inner.tar", ".JPEG")) {
      EXPECT_THAT(member.name, ::testing::StartsWith(inner.name.substr(0, 9) + "_"));
      content.emplace(inner.name.substr(0, 9), Hash64(member.bytes));
    }
  }
  return content;
}

Content OfValTar(const fs::path& root) {
  Content content;
  std::istringstream labels(ReadFile(root / "val_labels.txt"));
  int number = 0;
  for (const auto& member : ReadTar(root / "ILSVRC2012_img_val.tar", "")) {
    EXPECT_EQ(member.name, fmt::format("ILSVRC2012_val_{:08}.JPEG", ++number));
    std::string label;
    EXPECT_TRUE(std::getline(labels, label));
    content.emplace(label, Hash64(member.bytes));
  }
  return content;
}

Content OfWebdataset(const fs::path& root) {
  Content content;
  for (const auto& entry : fs::directory_iterator(root)) {
    const auto members = ReadTar(entry.path(), "");
    for (std::size_t i = 0; i + 2 < members.size(); i += 3) {
      const auto& json = members[i + 2].bytes;
      const std::string text(reinterpret_cast<const char*>(json.data()), json.size());
      EXPECT_TRUE(members[i].name.ends_with(".jpg"));
      EXPECT_TRUE(members[i + 1].name.ends_with(".cls"));
      EXPECT_THAT(text, ::testing::StartsWith(R"({"wnid": "n9)"));
      content.emplace(text.substr(10, 9), Hash64(members[i].bytes));
    }
  }
  return content;
}

TEST(Synth, EveryLayoutHoldsTheSamePictures) {
  const test::TemporaryFolder folder;
  SynthOptions options{.to = folder / "folder", .images = 23, .classes = 4, .seed = 5};
  const auto report = Synth(options);
  EXPECT_EQ(report.images, 23u);
  const Content train = OfFolder(options.to);
  EXPECT_EQ(train.size(), 23u);
  options.to = folder / "tar";
  options.layout = SynthLayout::kTrainTar;
  EXPECT_EQ(Synth(options).bytes, report.bytes);
  EXPECT_EQ(OfTrainTar(options.to), train);
  options.to = folder / "webdataset";
  options.layout = SynthLayout::kWebdataset;
  Synth(options);
  EXPECT_EQ(OfWebdataset(options.to), train);

  options.split = SynthSplit::kVal;
  options.to = folder / "webdataset-val";
  Synth(options);
  const Content val = OfWebdataset(options.to);
  options.to = folder / "val-tar";
  options.layout = SynthLayout::kValTar;
  Synth(options);
  EXPECT_EQ(OfValTar(options.to), val);
  options.to = folder / "val-folder";
  options.layout = SynthLayout::kFolder;
  Synth(options);
  EXPECT_EQ(OfFolder(options.to), val);
  for (const auto& picture : val) EXPECT_FALSE(train.contains(picture));
}

std::map<std::string, std::uint64_t> FilesBelow(const fs::path& root) {
  std::map<std::string, std::uint64_t> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), root).string()] = Hash64(ReadFile(entry.path()));
    }
  }
  return files;
}

TEST(Synth, BytesDoNotDependOnJobs) {
  const test::TemporaryFolder folder;
  for (const auto layout :
       {SynthLayout::kFolder, SynthLayout::kTrainTar, SynthLayout::kWebdataset}) {
    std::map<std::string, std::uint64_t> expected;
    for (const int jobs : {1, 2, 7}) {
      const fs::path to = folder / fmt::format("{}-{}", static_cast<int>(layout), jobs);
      Synth({.to = to, .images = 30, .classes = 3, .layout = layout, .jobs = jobs});
      if (jobs == 1) expected = FilesBelow(to);
      EXPECT_EQ(FilesBelow(to), expected);
    }
    EXPECT_FALSE(expected.empty());
  }
}

TEST(Synth, ClassesGetEqualShares) {
  const test::TemporaryFolder folder;
  Synth({.to = folder / "to", .images = 11, .classes = 4});
  std::map<std::string, int> per_class;
  for (const auto& [id, hash] : OfFolder(folder / "to")) ++per_class[id];
  EXPECT_EQ(per_class,
            (std::map<std::string, int>{
                {"n90000000", 3}, {"n90000001", 3}, {"n90000002", 3}, {"n90000003", 2}}));
  EXPECT_TRUE(fs::exists(folder / "to/n90000003/n90000003_1.JPEG"));
}

TEST(Synth, ProgressEndsWithEverything) {
  const test::TemporaryFolder folder;
  SynthProgress last;
  const auto report = Synth({.to = folder / "to", .images = 9, .classes = 2},
                            [&](const SynthProgress& progress) { last = progress; });
  EXPECT_EQ(last.images, 9u);
  EXPECT_EQ(last.total_images, 9u);
  EXPECT_EQ(last.bytes, report.bytes);
}

TEST(Synth, FolderThatIsNotEmptyIsRefusedAndStays) {
  const test::TemporaryFolder folder;
  test::WriteText(folder / "to/mine", "mine");
  EXPECT_THAT(test::ErrorOf([&] { Synth({.to = folder / "to", .images = 4, .classes = 2}); }),
              HasSubstr("to is not an empty folder; name another one"));
  EXPECT_EQ(ReadFile(folder / "to/mine"), "mine");
  EXPECT_FALSE(fs::exists(folder / "to.tmp"));
}

TEST(Synth, EmptyFolderIsTaken) {
  const test::TemporaryFolder folder;
  CreateFolders(folder / "to");
  Synth({.to = (folder / "to").string() + "/", .images = 4, .classes = 2});
  EXPECT_EQ(OfFolder(folder / "to").size(), 4u);
}

TEST(Synth, WhatAKilledRunLeftIsNamed) {
  const test::TemporaryFolder folder;
  CreateFolders(folder / "to.tmp");
  EXPECT_THAT(test::ErrorOf([&] { Synth({.to = folder / "to", .images = 4, .classes = 2}); }),
              HasSubstr("to.tmp was left by a run that was interrupted"));
}

TEST(Synth, StoppedRunLeavesNothing) {
  for (const auto layout : {SynthLayout::kFolder, SynthLayout::kTrainTar}) {
    const test::TemporaryFolder folder;
    std::atomic<bool> stop = false;
    const auto report =
        Synth({.to = folder / "to", .images = 500, .classes = 2, .layout = layout, .stop = &stop},
              [&](const SynthProgress& progress) { stop = progress.images >= 3; });
    EXPECT_TRUE(report.stopped);
    EXPECT_LT(report.images, 500u);
    EXPECT_TRUE(fs::is_empty(folder.path()));
  }
}

TEST(Synth, OptionsWithoutMeaningAreRefused) {
  const auto text = [](SynthOptions options) {
    return test::UsageErrorOf([&] { Synth(options); });
  };
  EXPECT_EQ(text({.to = "x", .images = 4, .classes = 1}),
            "1 classes are not possible; use 2 to 100000");
  EXPECT_THAT(text({.to = "x", .images = 4, .classes = 5}), HasSubstr("one per class at least"));
  EXPECT_THAT(text({.to = "x", .images = 4, .classes = 2, .jobs = -1}),
              HasSubstr("-1 jobs are not possible"));
  EXPECT_EQ(text({.to = "x", .images = 4, .classes = 2, .layout = SynthLayout::kValTar}),
            "the layout val-tar is for the split val");
  EXPECT_EQ(text({.to = "x",
                  .images = 4,
                  .classes = 2,
                  .layout = SynthLayout::kTrainTar,
                  .split = SynthSplit::kVal}),
            "the layout train-tar is for the split train");
  EXPECT_EQ(text({.to = "", .images = 4, .classes = 2}), "no folder to write to");
}

}  // namespace
}  // namespace millrace::pipeline
