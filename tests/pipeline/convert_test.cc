#include "pipeline/convert.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/random.h"
#include "storage/conversion/shard_summary.h"
#include "storage/jpeg_info.h"
#include "storage/split_reader.h"
#include "tests/pipeline/convert_fixture.h"
#include "tests/support/full_decode.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

extern char** environ;

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using test::ContentsOf;
using test::ErrorOf;
using test::MakeJpeg;
using test::WriteBytes;
using test::WriteText;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class ConvertTest : public testing::Test {
 protected:
  // Three classes of seven pictures.
  void SetUp() override { test::MakeImageFolder(from_, 3, 7); }

  ConvertOptions Options() const {
    return {.sources = {from_}, .to = to_, .shards = 2, .seed = 7, .jobs = 2};
  }

  std::string ErrorOfConverting(const ConvertOptions& options) {
    return ErrorOf([&] { (void)Convert(options); });
  }

  // Damages the first picture of a class in some way.
  fs::path Picture(const char* name) const { return from_ / name; }

  const test::TemporaryFolder folder_;
  const fs::path from_ = folder_ / "from";
  const fs::path to_ = folder_ / "to";
};

// Reads every record of the split; `look` gets it and the bytes of its file.
template <typename Look>
void ForEachRecord(const fs::path& to, const fs::path& from, Look look) {
  const storage::SplitReader reader(to, "train");
  for (std::uint64_t id = 0; id < reader.size(); ++id) {
    const auto record = reader.Read(id);
    ASSERT_TRUE(record.ok()) << record.fault().message;
    look(*record, ReadFile(from / record->path));
  }
}

TEST_F(ConvertTest, EveryPictureIsStoredOnceInAMixedOrder) {
  const auto report = Convert(Options());
  EXPECT_EQ(report.records, 21u);
  EXPECT_EQ(report.shards, 2u);
  EXPECT_EQ(report.classes, 3u);
  EXPECT_EQ(report.left_out, 0u);
  EXPECT_EQ(report.changed, 0u);
  const storage::SplitReader reader(to_, "train");
  EXPECT_EQ(reader.split().fingerprint, report.fingerprint);
  EXPECT_EQ(reader.split().conversion.variant, "re-packed with region index");
  EXPECT_EQ(reader.manifest().classes[1], (storage::ClassInfo{"n001", "n001"}));
  std::set<std::string> paths;
  std::vector<std::uint32_t> labels;
  ForEachRecord(to_, from_, [&](const storage::RecordView& record, const std::string& file) {
    const std::string path(record.path);
    paths.insert(path);
    labels.push_back(record.label);
    EXPECT_EQ(path.substr(0, 4), fmt::format("n{:03}", record.label));
    const auto came = storage::ReadJpegInfo(std::as_bytes(std::span(file)));
    const auto info = storage::ReadJpegInfo(record.payload);
    EXPECT_EQ(info->width, came->width);
    EXPECT_EQ(info->height, came->height);
    EXPECT_EQ(record.width, came->width);
    EXPECT_EQ(record.height, came->height);
    EXPECT_EQ(record.subsampling, came->subsampling);
    EXPECT_EQ(record.repairs, 0u);
    EXPECT_GT(record.region_index.segment_mcus, 0u);
    EXPECT_TRUE(
        test::DecodeFully(record.payload).Shows(test::DecodeFully(std::as_bytes(std::span(file)))));
  });
  EXPECT_THAT(paths, SizeIs(21));
  EXPECT_FALSE(std::ranges::is_sorted(labels)) << "samples are dealt in a mixed order";
}

TEST_F(ConvertTest, WithoutRegionIndexPicturesAreStoredAsTheyCame) {
  auto options = Options();
  options.picture.region_index = false;
  Convert(options);
  int seen = 0;
  ForEachRecord(to_, from_, [&](const storage::RecordView& record, const std::string& file) {
    EXPECT_TRUE(std::ranges::equal(record.payload, std::as_bytes(std::span(file))));
    EXPECT_EQ(record.region_index.segment_mcus, 0u);
    ++seen;
  });
  EXPECT_EQ(seen, 21);
}

TEST_F(ConvertTest, OnlyShardsManifestAndReportAreLeft) {
  Convert(Options());
  std::vector<std::string> names;
  for (const auto& [name, content] : ContentsOf(to_)) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("manifest.json", "report.json", "train-00000-of-00002.lmdb",
                                 "train-00001-of-00002.lmdb"));
}

TEST_F(ConvertTest, SameBytesAtAnyNumberOfJobs) {
  auto options = Options();
  options.shards = 3;
  options.jobs = 1;
  Convert(options);
  const auto expected = ContentsOf(to_);
  for (const int jobs : {0, 2, 8}) {
    options.jobs = jobs;
    options.to = folder_ / fmt::format("jobs{}", jobs);
    Convert(options);
    EXPECT_TRUE(ContentsOf(options.to) == expected) << jobs;
  }
}

TEST_F(ConvertTest, FingerprintIsOfTheContentAndNotOfTheShards) {
  auto options = Options();
  const auto two = Convert(options);
  options.shards = 5;
  options.to = folder_ / "five";
  EXPECT_EQ(Convert(options).fingerprint, two.fingerprint);
  options.to = folder_ / "seed";
  options.seed = 8;
  EXPECT_NE(Convert(options).fingerprint, two.fingerprint);
}

TEST_F(ConvertTest, ProgressEndsWithEverything) {
  std::vector<ConvertProgress> pictures;
  std::vector<ConvertProgress> shards;
  Convert(Options(), [&](const ConvertProgress& progress) {
    (progress.stage == ConvertProgress::Stage::kPictures ? pictures : shards).push_back(progress);
  });
  ASSERT_THAT(pictures, SizeIs(21));
  ASSERT_THAT(shards, SizeIs(21));
  for (std::size_t i = 0; i < 21; ++i) {
    EXPECT_EQ(pictures[i].pictures, i + 1);
    EXPECT_EQ(shards[i].pictures, i + 1);
    EXPECT_GE(pictures[i].bytes, pictures[i == 0 ? 0 : i - 1].bytes);
  }
  EXPECT_EQ(pictures.back().bytes, pictures.back().total_bytes);
  EXPECT_EQ(shards.back().total_pictures, 21u);
}

TEST_F(ConvertTest, SecondRunHasNothingToDo) {
  const auto first = Convert(Options());
  const auto before = ContentsOf(to_);
  WriteText(to_ / "train-00000-of-00002.lmdb.done.json", "left by a kill");
  const auto second = Convert(Options(), [](const auto&) { FAIL() << "a file was read"; });
  EXPECT_TRUE(second.nothing_to_do);
  EXPECT_EQ(second.fingerprint, first.fingerprint);
  EXPECT_EQ(second.records, first.records);
  EXPECT_EQ(second.bytes, first.bytes);
  EXPECT_TRUE(ContentsOf(to_) == before);
}

TEST_F(ConvertTest, FinishedSplitIsNotOverwritten) {
  Convert(Options());
  const auto before = ContentsOf(to_);
  WriteBytes(from_ / "n000/new.jpg", MakeJpeg());
  EXPECT_THAT(ErrorOfConverting(Options()),
              AllOf(HasSubstr("manifest.json already holds the split \"train\", made from other "
                              "files or with other options"),
                    HasSubstr("convert into another folder")));
  EXPECT_TRUE(ContentsOf(to_) == before);
}

TEST_F(ConvertTest, MissingShardOfAFinishedSplitIsNamed) {
  Convert(Options());
  fs::remove(to_ / "train-00001-of-00002.lmdb");
  EXPECT_THAT(ErrorOfConverting(Options()),
              HasSubstr("train-00001-of-00002.lmdb is missing or has another size"));
}

TEST_F(ConvertTest, ShardsFollowTheSizeOfTheSources) {
  auto options = Options();
  options.shards = 0;
  EXPECT_EQ(Convert(options).shards, 1u);
}

TEST_F(ConvertTest, SeveralSourcesAreMixed) {
  const fs::path second = folder_ / "second";
  WriteBytes(second / "n001/n001_0.JPEG", MakeJpeg({.seed = 99}));  // a path that is there twice
  WriteBytes(second / "m/x.jpg", MakeJpeg({.seed = 100}));
  auto options = Options();
  options.sources.push_back(second);
  EXPECT_EQ(Convert(options).records, 23u);
  const storage::SplitReader reader(to_, "train");
  EXPECT_EQ(reader.manifest().classes.front().id, "m");
  for (std::uint64_t id = 0; id < reader.size(); ++id) {
    const auto record = reader.Read(id);
    EXPECT_TRUE(record->path.starts_with(reader.manifest().classes[record->label].id + "/"));
  }
}

TEST_F(ConvertTest, NamesBeyondAsciiAreKept) {
  WriteBytes(from_ / "été/写真 1.jpeg", MakeJpeg());
  Convert(Options());
  const storage::SplitReader reader(to_, "train");
  EXPECT_EQ(reader.manifest().classes.back().id, "été");
  bool found = false;
  for (std::uint64_t id = 0; id < reader.size(); ++id) {
    found = found || reader.Read(id)->path == "été/写真 1.jpeg";
  }
  EXPECT_TRUE(found);
}

// Splits.

TEST_F(ConvertTest, SecondSplitJoinsWithTheClassesOfTheFirst) {
  Convert(Options());
  const fs::path val = folder_ / "val";
  WriteBytes(val / "n002/1.jpg", MakeJpeg({.seed = 5}));
  WriteBytes(val / "n001/2.jpg", MakeJpeg({.seed = 6}));
  ConvertOptions options{.sources = {val}, .to = to_, .split = "val", .seed = 1};
  Convert(options);
  const storage::SplitReader train(to_, "train");
  const storage::SplitReader reader(to_, "val");
  EXPECT_EQ(train.size(), 21u);
  ASSERT_EQ(reader.size(), 2u);
  EXPECT_THAT(reader.manifest().classes, SizeIs(3));
  for (std::uint64_t id = 0; id < 2; ++id) {
    EXPECT_EQ(reader.Read(id)->label, reader.Read(id)->path.starts_with("n002") ? 2u : 1u);
  }
  EXPECT_TRUE(Convert(Options()).nothing_to_do);
  const auto report = nlohmann::json::parse(ReadFile(to_ / "report.json"));
  EXPECT_TRUE(report.contains("train") && report.contains("val"));
}

TEST_F(ConvertTest, ClassThatTheFirstSplitLacksIsNamed) {
  Convert(Options());
  const auto before = ContentsOf(to_);
  const fs::path val = folder_ / "val";
  WriteBytes(val / "n001/1.jpg", MakeJpeg());
  WriteBytes(val / "zebra/1.jpg", MakeJpeg());
  EXPECT_THAT(ErrorOfConverting({.sources = {val}, .to = to_, .split = "val"}),
              AllOf(HasSubstr("the class \"zebra\" of "),
                    HasSubstr("is not among the 3 classes of"), HasSubstr("manifest.json")));
  EXPECT_TRUE(ContentsOf(to_) == before);
}

// Bad input.

TEST_F(ConvertTest, EveryBadFileIsListedWithItsFault) {
  auto options = Options();
  options.on_bad = OnBad::kFail;
  WriteBytes(Picture("n000/n000_3.JPEG"), test::MakePng(9, 9, 1));
  WriteText(Picture("n001/n001_0.JPEG"), "");
  auto jpeg = MakeJpeg();
  jpeg.resize(jpeg.size() / 2);
  WriteBytes(Picture("n002/n002_6.JPEG"), jpeg);
  WriteBytes(Picture("n002/x.png"), test::MakePng(9, 9, 1));
  fs::create_symlink("nowhere", Picture("n002/y.jpg"));
  const std::string text = ErrorOfConverting(options);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("5 of 23 files cannot be used; mend or remove them, or convert with "
                      "--on-bad repair or skip"),
            HasSubstr("n000/n000_3.JPEG: a PNG image although it is named .JPEG"),
            HasSubstr("n001/n001_0.JPEG: an empty file"),
            HasSubstr("n002/n002_6.JPEG: a truncated JPEG: the file ends before the picture does"),
            HasSubstr("n002/x.png: a PNG image, not a JPEG"), HasSubstr("n002/y.jpg: cannot open"),
            HasSubstr("No such file or directory")));
  EXPECT_FALSE(fs::exists(to_ / "manifest.json"));
  const auto report = nlohmann::json::parse(ReadFile(to_ / "report.json"));
  EXPECT_THAT(report["train"]["bad"], SizeIs(5));
  EXPECT_EQ(report["train"]["bad"][0]["action"], "refused");
}

TEST_F(ConvertTest, OnlyTenFaultsAreSpelledOut) {
  for (int i = 0; i < 15; ++i) WriteText(from_ / fmt::format("n000/bad{:02}.jpg", i), "");
  auto options = Options();
  options.on_bad = OnBad::kFail;
  EXPECT_THAT(ErrorOfConverting(options),
              AllOf(HasSubstr("15 of 36 files"), HasSubstr("bad09.jpg"), Not(HasSubstr("bad10")),
                    HasSubstr("and 5 more, listed in "), HasSubstr("report.json")));
}

TEST_F(ConvertTest, SkippedFilesAreLeftOutAndReported) {
  WriteText(Picture("n000/n000_3.JPEG"), "");
  WriteBytes(Picture("n000/n000_4.JPEG"), test::MakePng(9, 9, 1));
  WriteText(from_ / "notes.txt", "");
  auto options = Options();
  options.on_bad = OnBad::kSkip;
  const auto report = Convert(options);
  EXPECT_EQ(report.records, 19u);
  EXPECT_EQ(report.left_out, 2u);
  EXPECT_THAT(report.ignored, ElementsAre((from_ / "notes.txt").string()));
  const auto json = nlohmann::json::parse(ReadFile(to_ / "report.json"))["train"];
  EXPECT_EQ(json["bad"], nlohmann::json({{{"file", Picture("n000/n000_3.JPEG").string()},
                                          {"fault", "an empty file"},
                                          {"action", "left out"}},
                                         {{"file", Picture("n000/n000_4.JPEG").string()},
                                          {"fault", "a PNG image although it is named .JPEG"},
                                          {"action", "left out"}}}));
  EXPECT_EQ(json["ignored"], nlohmann::json({(from_ / "notes.txt").string()}));
  EXPECT_EQ(json["files"], 21);
  EXPECT_EQ(json["records"], 19);
  EXPECT_EQ(json["bytes_out"], report.bytes);
  const storage::SplitReader reader(to_, "train");
  EXPECT_EQ(reader.size(), 19u);
  EXPECT_EQ(reader.split().conversion.left_out, 2u);
  EXPECT_EQ(reader.split().conversion.on_bad, "skip");
}

TEST_F(ConvertTest, RepairedFilesAreStoredAndReported) {
  WriteText(Picture("n000/n000_3.JPEG"), "");
  WriteBytes(Picture("n000/n000_4.JPEG"), test::MakePng(9, 9, 1));
  auto trailing = MakeJpeg();
  trailing.resize(trailing.size() + 5);
  WriteBytes(Picture("n001/n001_0.JPEG"), trailing);
  const auto report = Convert(Options());
  EXPECT_EQ(report.records, 20u);
  EXPECT_EQ(report.left_out, 1u);
  EXPECT_EQ(report.changed, 2u);
  const auto json = nlohmann::json::parse(ReadFile(to_ / "report.json"))["train"];
  EXPECT_THAT(json["bad"], SizeIs(1));
  EXPECT_EQ(json["changed"], nlohmann::json({{{"file", Picture("n000/n000_4.JPEG").string()},
                                              {"fault", "a PNG image although it is named .JPEG"},
                                              {"action", "stored as an RGB PNG without loss"}},
                                             {{"file", Picture("n001/n001_0.JPEG").string()},
                                              {"fault", "5 bytes after the end"},
                                              {"action", "bytes after the end dropped"}}}));
  EXPECT_EQ(json["repairs"]["other format"], 1);
  EXPECT_EQ(json["repairs"]["trailing bytes"], 1);
  EXPECT_EQ(json["repairs"]["cmyk"], 0);
  std::map<std::string, std::uint32_t> repairs;
  const storage::SplitReader reader(to_, "train");
  for (std::uint64_t id = 0; id < reader.size(); ++id) {
    const auto record = reader.Read(id);
    if (record->repairs != 0) repairs[std::string(record->path)] = record->repairs;
  }
  EXPECT_THAT(repairs, ElementsAre(testing::Pair("n000/n000_4.JPEG", storage::kOtherFormat),
                                   testing::Pair("n001/n001_0.JPEG", storage::kTrailingBytes)));
}

TEST_F(ConvertTest, AClassOfBadFilesKeepsItsLabel) {
  for (int i = 0; i < 7; ++i) WriteText(Picture("n001") / fmt::format("n001_{}.JPEG", i), "");
  EXPECT_EQ(Convert(Options()).records, 14u);
  const storage::SplitReader reader(to_, "train");
  ASSERT_THAT(reader.manifest().classes, SizeIs(3));
  for (std::uint64_t id = 0; id < reader.size(); ++id) EXPECT_NE(reader.Read(id)->label, 1u);
}

TEST_F(ConvertTest, SkippingAfterAFailureIsAsIfItHadBeenAskedForAtOnce) {
  WriteText(Picture("n000/n000_3.JPEG"), "");
  auto options = Options();
  options.on_bad = OnBad::kFail;
  EXPECT_NE(ErrorOfConverting(options), "");
  options.on_bad = OnBad::kSkip;
  EXPECT_EQ(Convert(options).records, 20u);
  options.to = folder_ / "straight";
  Convert(options);
  EXPECT_TRUE(ContentsOf(options.to) == ContentsOf(to_));
}

TEST_F(ConvertTest, NothingButBadFilesIsAnError) {
  const fs::path bad = folder_ / "bad";
  WriteText(bad / "a/1.jpg", "");
  WriteText(bad / "b/1.jpg", "");
  EXPECT_THAT(ErrorOfConverting({.sources = {bad}, .to = to_, .on_bad = OnBad::kSkip}),
              HasSubstr("none of the 2 files can be used"));
  EXPECT_FALSE(fs::exists(to_ / "manifest.json"));
}

TEST_F(ConvertTest, SingleClassIsRefused) {
  const fs::path one = folder_ / "one";
  WriteBytes(one / "only/1.jpg", MakeJpeg());
  EXPECT_EQ(ErrorOfConverting({.sources = {one}, .to = to_}),
            one.string() + " has a single class, \"only\"; a classifier needs two at least");
  EXPECT_FALSE(fs::exists(to_));
}

TEST_F(ConvertTest, WrongOptionsAreUsageErrorsAndTouchNothing) {
  const auto check = [&](const ConvertOptions& options, const char* text) {
    try {
      Convert(options);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kUsage);
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
    EXPECT_FALSE(fs::exists(to_));
  };
  auto options = Options();
  options.sources = {folder_ / "missing"};
  check(options, "there is no file or folder ");
  options = Options();
  options.sources.clear();
  check(options, "no source to convert from");
  options = Options();
  options.split = "a/b";
  check(options, "\"a/b\" cannot be a split's name");
  options = Options();
  options.shards = 5000;
  check(options, "5000 shards are too many; the limit is 4096");
  options = Options();
  options.jobs = -1;
  check(options, "-1 jobs are not possible");
  options = Options();
  options.picture = {.resize_short = 20, .max_side = 30};
  check(options, "by their shorter side or by their longer one, not both");
  options = Options();
  options.worker = storage::SourcePart{3, 3};
  check(options, "there is no worker 3 of 3");
}

TEST_F(ConvertTest, TooManyShardsAreRefusedAndThePicturesKept) {
  auto options = Options();
  options.shards = 22;
  EXPECT_EQ(ErrorOfConverting(options),
            "22 shards are more than the 21 pictures to fill them with");
  options.shards = 21;
  const auto report = Convert(options);
  EXPECT_EQ(report.pictures_kept, 21u);
  EXPECT_EQ(report.shards, 21u);
}

TEST_F(ConvertTest, NewerManifestIsLeftAlone) {
  const std::string newer = R"({"format": "millrace dataset", "format_version": 9})";
  WriteText(to_ / "manifest.json", newer);
  EXPECT_THAT(ErrorOfConverting(Options()), HasSubstr("format_version is 9"));
  EXPECT_EQ(ReadFile(to_ / "manifest.json"), newer);
}

TEST_F(ConvertTest, AnotherConversionInTheFolderIsNamed) {
  fs::create_directories(to_);
  const int other = ::open(to_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  EXPECT_THAT(ErrorOfConverting(Options()), HasSubstr("another conversion is writing into"));
  ::close(other);
  EXPECT_EQ(Convert(Options()).records, 21u);
}

TEST_F(ConvertTest, FullDiskNamesTheFileAndTheNextRunGoesOn) {
  // Pictures of about 20 KB: 60 of them do not fit a disk of 2 MB together with LMDB's work.
  const fs::path large = folder_ / "large";
  for (int i = 0; i < 60; ++i) {
    WriteBytes(large / fmt::format("c{}/{}.jpg", i % 2, i),
               MakeJpeg({.width = 160, .height = 160, .seed = static_cast<std::uint64_t>(i)}));
  }
  fs::create_directories(to_);
  if (::mount("tmpfs", to_.c_str(), "tmpfs", 0, "size=600k") != 0) {
    GTEST_SKIP() << "needs the right to mount a small disk";
  }
  const ConvertOptions options{.sources = {large}, .to = to_, .shards = 6, .jobs = 1};
  const std::string text = ErrorOfConverting(options);
  EXPECT_THAT(text, testing::ContainsRegex("cannot write .*to/.*(spool|lmdb): No space left"));
  EXPECT_FALSE(fs::exists(to_ / "manifest.json"));
  for (const auto& [name, content] : ContentsOf(to_)) {
    EXPECT_THAT(name, Not(HasSubstr("tmp")));
  }
  EXPECT_EQ(::mount("tmpfs", to_.c_str(), "tmpfs", MS_REMOUNT, "size=60m"), 0);
  const auto report = Convert(options);
  EXPECT_GE(report.pictures_kept, 1u);
  EXPECT_EQ(report.records, 60u);
  auto straight = options;
  straight.to = folder_ / "straight";
  Convert(straight);
  EXPECT_TRUE(ContentsOf(to_) == ContentsOf(straight.to));
  ::umount2(to_.c_str(), MNT_DETACH);
}

// Interruption.

TEST_F(ConvertTest, StopKeepsWhatIsDoneAndTheNextRunGoesOn) {
  auto options = Options();
  options.shards = 7;
  options.to = folder_ / "straight";
  Convert(options);
  const auto expected = ContentsOf(options.to);

  options.jobs = 1;
  std::atomic<bool> stop = false;
  options.stop = &stop;
  for (const int stop_after : {1, 10, 20, 22, 31, 40}) {
    options.to = folder_ / fmt::format("to{}", stop_after);
    stop = false;
    int calls = 0;
    const auto stopped = Convert(options, [&](const auto&) { stop = ++calls >= stop_after; });
    EXPECT_TRUE(stopped.stopped);
    EXPECT_FALSE(fs::exists(options.to / "manifest.json"));
    stop = false;
    const auto resumed = Convert(options);
    EXPECT_FALSE(resumed.stopped);
    EXPECT_GE(resumed.pictures_kept, std::min(stop_after, 21));
    EXPECT_EQ(resumed.shards_kept, std::max(0, (stop_after - 21) / 3)) << stop_after;
    EXPECT_TRUE(ContentsOf(options.to) == expected) << stop_after;
  }
}

class StoppedConversion : public ConvertTest {
 protected:
  // Stops after so many calls for progress: 21 for pictures, then 21 for shards.
  void StopAfter(ConvertOptions options, int calls) {
    std::atomic<bool> stop = false;
    options.stop = &stop;
    options.jobs = 1;
    EXPECT_TRUE(Convert(options, [&](const auto&) { stop = --calls <= 0; }).stopped);
  }

  // What the options make when nothing comes between.
  std::map<std::string, std::string> Straight(ConvertOptions options) {
    options.to = folder_ / "straight";
    Convert(options);
    return ContentsOf(options.to);
  }
};

TEST_F(StoppedConversion, ChangedSourceStartsOver) {
  StopAfter(Options(), 10);
  WriteBytes(Picture("n000/n000_0.JPEG"), MakeJpeg({.seed = 77}));
  EXPECT_EQ(Convert(Options()).pictures_kept, 0u);
  EXPECT_TRUE(ContentsOf(to_) == Straight(Options()));
}

TEST_F(StoppedConversion, AnotherSeedStartsOver) {
  StopAfter(Options(), 10);
  auto options = Options();
  options.seed = 8;
  EXPECT_EQ(Convert(options).pictures_kept, 0u);
  EXPECT_TRUE(ContentsOf(to_) == Straight(options));
}

TEST_F(StoppedConversion, AnotherNumberOfShardsKeepsThePictures) {
  StopAfter(Options(), 10);
  auto options = Options();
  options.shards = 5;
  EXPECT_GE(Convert(options).pictures_kept, 10u);
  EXPECT_TRUE(ContentsOf(to_) == Straight(options));
}

TEST_F(StoppedConversion, AnotherNumberOfShardsAfterSpoolsHaveGoneStartsOver) {
  auto options = Options();
  options.shards = 7;
  StopAfter(options, 40);
  const fs::path spool = to_ / ".convert-train/part-00000-of-00001/pictures-000-of-001.spool";
  ASSERT_TRUE(fs::exists(spool));
  fs::remove(spool);  // as when there are several, and the shards of one are complete
  options.shards = 5;
  const auto report = Convert(options);
  EXPECT_EQ(report.pictures_kept, 0u);
  EXPECT_EQ(report.shards_kept, 0u);
  EXPECT_TRUE(ContentsOf(to_) == Straight(options));
}

class Victim {
 public:
  Victim(const fs::path& from, const fs::path& to, unsigned shards, unsigned kill_after) {
    std::string words[] = {MILLRACE_CONVERT_VICTIM, from.string(), to.string(),
                           std::to_string(shards),  "2",           std::to_string(kill_after)};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                         words[4].data(), words[5].data(), nullptr};
    EXPECT_EQ(::posix_spawn(&process_, words[0].c_str(), nullptr, nullptr, arguments, environ), 0);
  }
  void Kill() { ::kill(process_, SIGKILL); }
  // The exit code, or -1 when it was killed.
  int Wait() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  ::pid_t process_ = 0;
};

// The shards of a folder that are finished: by name, inode and time of change.
std::map<std::string, std::pair<::ino_t, std::int64_t>> FinishedShards(const fs::path& folder) {
  std::map<std::string, std::pair<::ino_t, std::int64_t>> shards;
  if (!fs::exists(folder)) return shards;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".lmdb") continue;
    if (!fs::exists(storage::SummaryPath(entry.path()))) continue;
    struct stat info {};
    ::stat(entry.path().c_str(), &info);
    shards[entry.path().filename().string()] = {
        info.st_ino, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
  }
  return shards;
}

class KilledConversion : public testing::Test {
 protected:
  static constexpr unsigned kShards = 6;
  static constexpr unsigned kFiles = 120;

  void SetUp() override {
    test::MakeImageFolder(from_, 4, kFiles / 4);
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(Victim(from_, folder_ / "straight", kShards, 0).Wait(), 0);
    duration_ = std::chrono::steady_clock::now() - begin;
    expected_ = ContentsOf(folder_ / "straight");
  }

  // After a kill: what was finished is kept untouched, and the whole is what it should be.
  void ExpectThatItGoesOn(const fs::path& to) {
    const bool complete = fs::exists(to / "manifest.json");
    const auto finished = FinishedShards(to);
    ASSERT_EQ(Victim(from_, to, kShards, 0).Wait(), 0);
    EXPECT_TRUE(ContentsOf(to) == expected_);
    for (const auto& [name, identity] : finished) {
      struct stat info {};
      ASSERT_EQ(::stat((to / name).c_str(), &info), 0);
      EXPECT_EQ(info.st_ino, identity.first) << name << " was written again";
      EXPECT_EQ(info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec, identity.second);
    }
    shards_kept_ += complete ? 0 : finished.size();
  }

  const test::TemporaryFolder folder_;
  const fs::path from_ = folder_ / "from";
  std::chrono::steady_clock::duration duration_{};
  std::map<std::string, std::string> expected_;
  std::size_t shards_kept_ = 0;  // over all kills
};

TEST_F(KilledConversion, AfterAnyFileGoesOnToTheSameBytes) {
  for (unsigned kill_after = 1; kill_after <= 2 * kFiles; kill_after += 17) {
    const fs::path to = folder_ / fmt::format("to{}", kill_after);
    ASSERT_EQ(Victim(from_, to, kShards, kill_after).Wait(), -1);
    EXPECT_FALSE(fs::exists(to / "manifest.json"));
    ExpectThatItGoesOn(to);
  }
  EXPECT_GT(shards_kept_, 5u);
}

TEST_F(KilledConversion, AtAnyMomentGoesOnToTheSameBytes) {
  RandomStream random({.seed = 3}, 0);
  for (int round = 0; round < 50; ++round) {
    const fs::path to = folder_ / fmt::format("to{}", round);
    Victim victim(from_, to, kShards, 0);
    std::this_thread::sleep_for(duration_ * random.Uniform());
    victim.Kill();
    victim.Wait();
    ExpectThatItGoesOn(to);
  }
}

TEST_F(KilledConversion, AgainAndAgainStillArrives) {
  const fs::path to = folder_ / "to";
  // Each run gets some files further than the last one.
  for (int round = 0; round < 14; ++round) Victim(from_, to, kShards, 20).Wait();
  ExpectThatItGoesOn(to);
}

// A power cut drops what was not synced: the ends of spools, or blocks in the midst of them.
TEST_F(KilledConversion, WithUnsyncedWritesDroppedGoesOnToTheSameBytes) {
  RandomStream random({.seed = 4}, 0);
  int damaged = 0;
  for (unsigned kill_after = 5; kill_after <= kFiles; kill_after += 11) {
    const fs::path to = folder_ / fmt::format("to{}", kill_after);
    ASSERT_EQ(Victim(from_, to, kShards, kill_after).Wait(), -1);
    const fs::path part = to / ".convert-train/part-00000-of-00001";
    if (fs::exists(part / "done.json")) continue;
    for (const auto& entry : fs::directory_iterator(part)) {
      if (entry.path().extension() != ".spool") continue;
      std::string content = ReadFile(entry.path());
      const auto at =
          static_cast<std::size_t>(random.Uniform() * static_cast<double>(content.size()));
      if (kill_after % 2 == 0) {
        content.resize(at);
      } else {
        const auto end = std::min(content.size(), at + 4096);
        std::fill(content.begin() + static_cast<std::ptrdiff_t>(at),
                  content.begin() + static_cast<std::ptrdiff_t>(end), '\0');
      }
      WriteText(entry.path(), content);
      ++damaged;
    }
    ExpectThatItGoesOn(to);
  }
  EXPECT_GT(damaged, 5);
}

}  // namespace
}  // namespace millrace::pipeline
