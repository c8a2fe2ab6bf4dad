#include "pipeline/local_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/folder_lock.h"
#include "pipeline/batch_plan.h"
#include "pipeline/graph.h"
#include "storage/shard_copy.h"
#include "storage/shard_reader.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using test::UsageErrorOf;
using testing::AllOf;
using testing::Contains;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// What a run log was told, and a way to wait for it.
class Lines {
 public:
  void Add(const std::string& line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(line);
    changed_.notify_all();
  }
  // Whether a line with this text has come or comes; the limit is reached only by what hangs.
  bool WaitFor(const std::string& text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(2), [&] {
      return std::any_of(lines_.begin(), lines_.end(), [&](const std::string& line) {
        return line.find(text) != std::string::npos;
      });
    });
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;  // guarded by mutex_
};

class LinesSink final : public tracking::Sink {
 public:
  explicit LinesSink(Lines& lines) : lines_(lines) {}
  void OnText(const std::string& line) override { lines_.Add(line); }

 private:
  Lines& lines_;
};

// A loader with its copy, as a run has them.
struct CopiedRun {
  CopiedRun(const Recipe& recipe, const fs::path& dataset)
      : loaders(recipe, dataset), copy(recipe, dataset, loaders) {
    log.Add(std::make_unique<LinesSink>(lines));
  }

  // All lines until now.
  std::vector<std::string> Told() {
    log.Flush();
    return lines.all();
  }

  Lines lines;
  tracking::RunLog log;
  LoaderStages loaders;
  LocalCopy copy;
};

class DigestLane final : public LaneWork {
 public:
  std::vector<std::uint64_t> digests;

  void Copy(stages::Slot&) override {}
  void TrainStep(const stages::Slot& slot) override { digests.push_back(slot.Digest()); }
};

class LocalCopyTest : public test::LoaderTest {
 protected:
  Recipe CopyingRecipe(const fs::path& to) const {
    return LoadRecipe({"data.local_copy=" + to.string()});
  }
  std::unique_ptr<CopiedRun> MakeRun() const {
    return std::make_unique<CopiedRun>(CopyingRecipe(local_), dataset_);
  }
  // Copies everything.
  void CopyAll() const {
    const auto run = MakeRun();
    run->copy.Start(run->log);
    ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  }

  const storage::SplitInfo& train() const { return manifest_.splits.at("train"); }
  fs::path TrainFolder() const { return local_ / storage::CopyFolderName("train", train()); }
  fs::path TrainFile(std::size_t shard) const { return TrainFolder() / train().shards[shard].file; }

  void SetUp() override {
    LoaderTest::SetUp();
    manifest_ = storage::ReadManifest(dataset_);
  }

  // Flips a bit of the first record's picture.
  static void Damage(const fs::path& path) {
    std::string text = ReadFile(path);
    std::string payload;
    {
      const storage::ShardReader shard(path);
      const auto bytes = shard.Read(0)->payload;
      payload.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    const std::size_t at = text.find(payload) + payload.size() / 2;
    text[at] = static_cast<char>(text[at] ^ 1);
    test::WriteText(path, text);
  }

  static std::vector<std::uint64_t> Digests(LoaderStages& loaders) {
    BatchPlan plan({.train_samples = loaders.train().size(),
                    .evaluate_samples = loaders.val()->size(),
                    .per_device = 4,
                    .evaluate_per_device = 5,
                    .epochs = 2});
    DigestLane lane;
    Stop stop;
    StageStats stats;
    RunGraph(
        {.workers = 2, .num_slots = 3, .max_batch = 5, .max_image_bytes = 3 * 24 * 22},
        [&plan] { return plan.Next(); }, loaders, {&lane}, stop, stats);
    return lane.digests;
  }

  // All of the folder's files, by their paths below it.
  static std::vector<std::string> Files(const fs::path& folder) {
    std::vector<std::string> files;
    if (!fs::exists(folder)) return files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) files.push_back(entry.path().filename().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  const fs::path local_ = folder_ / "local";
  storage::Manifest manifest_;
};

const std::vector<std::string> kAllFiles = {"train-00000-of-00002.lmdb",
                                            "train-00001-of-00002.lmdb", "val-00000-of-00001.lmdb"};

TEST_F(LocalCopyTest, WithoutTheSettingNothingHappens) {
  CopiedRun run(LoadRecipe(), dataset_);
  run.copy.Start(run.log);
  run.copy.Stop();
  EXPECT_TRUE(run.Told().empty());
}

TEST_F(LocalCopyTest, AllShardsAreCopiedAndTold) {
  const auto run = MakeRun();
  EXPECT_FALSE(fs::exists(local_));
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  run->copy.Stop();
  EXPECT_EQ(Files(local_), kAllFiles);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(ReadFile(TrainFile(i)) == ReadFile(dataset_ / train().shards[i].file));
  }
  const std::vector<std::string> lines = run->Told();
  ASSERT_EQ(lines.size(), 6u) << testing::PrintToString(lines);
  EXPECT_THAT(lines[0], AllOf(StartsWith("copying 2 of 2 shards of train ("),
                              EndsWith(" to " + TrainFolder().string())));
  EXPECT_THAT(lines[1],
              testing::MatchesRegex("copied 2 of 2 shards of train \\(.* KiB\\) in .*/s"));
  EXPECT_EQ(lines[2], "every shard of train is read from its copy in " + TrainFolder().string());
}

TEST_F(LocalCopyTest, CompleteCopiesAreUsedWithoutCopying) {
  CopyAll();
  const auto written = fs::last_write_time(TrainFile(0));
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  run->copy.Stop();
  EXPECT_THAT(run->Told(), testing::Each(StartsWith("every shard of ")));
  EXPECT_EQ(fs::last_write_time(TrainFile(0)), written);
  // It is the copies that are read.
  for (const storage::ShardInfo& shard : train().shards) Damage(dataset_ / shard.file);
  for (std::uint64_t id = 0; id < run->loaders.train().size(); ++id) {
    EXPECT_TRUE(run->loaders.train().Read(id).ok());
  }
}

TEST_F(LocalCopyTest, SplitThatTwoLoadersReadIsCopiedOnceAndBothGoOverToIt) {
  Recipe recipe = CopyingRecipe(local_);
  recipe.val->split = "train";
  CopiedRun run(recipe, dataset_);
  EXPECT_EQ(run.loaders.val(), &run.loaders.train());
  run.copy.Start(run.log);
  ASSERT_TRUE(run.lines.WaitFor("every shard of train"));
  run.copy.Stop();
  EXPECT_EQ(run.Told().size(), 3u) << testing::PrintToString(run.Told());
  for (const storage::ShardInfo& shard : train().shards) Damage(dataset_ / shard.file);
  EXPECT_EQ(Digests(run.loaders).size(), 2u * (6 + 5));
}

TEST_F(LocalCopyTest, OnlyMissingShardsAreCopied) {
  CopyAll();
  const auto written = fs::last_write_time(TrainFile(0));
  fs::remove(TrainFile(1));
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  EXPECT_THAT(run->Told(), Contains(StartsWith("copying 1 of 2 shards of train (")));
  EXPECT_EQ(fs::last_write_time(TrainFile(0)), written);
  EXPECT_EQ(Files(local_), kAllFiles);
}

TEST_F(LocalCopyTest, BatchesAreTheSameBeforeWhileAndAfterCopying) {
  LoaderStages plain(LoadRecipe(), dataset_);
  const std::vector<std::uint64_t> expected = Digests(plain);
  const auto run = MakeRun();
  EXPECT_EQ(Digests(run->loaders), expected);
  run->copy.Start(run->log);
  EXPECT_EQ(Digests(run->loaders), expected);
  ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  EXPECT_EQ(Digests(run->loaders), expected);
}

TEST_F(LocalCopyTest, DamagedShardIsToldAndTheOthersAreCopied) {
  const fs::path shard = dataset_ / train().shards[0].file;
  Damage(shard);
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  EXPECT_THAT(run->Told(),
              Contains("a shard is not copied: " + shard.string() +
                       " is not what manifest.json says (its hash differs); run `millrace verify` "
                       "on the dataset"));
  EXPECT_THAT(run->Told(), Contains(StartsWith("copied 1 of 2 shards of train (")));
  EXPECT_THAT(run->Told(), Not(Contains(StartsWith("every shard of train"))));
  EXPECT_EQ(Files(local_), std::vector(kAllFiles.begin() + 1, kAllFiles.end()));
}

TEST_F(LocalCopyTest, CopyWithDamagedStructureIsMadeAnew) {
  CopyAll();
  test::WriteText(TrainFile(0), std::string(train().shards[0].bytes, 'x'));
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("every shard of train"));
  EXPECT_THAT(run->Told(),
              Contains("the copy " + TrainFile(0).string() + " cannot be used and is made anew"));
  EXPECT_TRUE(ReadFile(TrainFile(0)) == ReadFile(dataset_ / train().shards[0].file));
}

TEST_F(LocalCopyTest, CopyWithADamagedRecordIsRemovedAndTheRunGoesOn) {
  CopyAll();
  Damage(TrainFile(0));
  LoaderStages plain(LoadRecipe(), dataset_);
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("every shard of val"));
  EXPECT_EQ(Digests(run->loaders), Digests(plain));
  EXPECT_THAT(run->Told(),
              Contains(AllOf(
                  StartsWith("the copy " + TrainFile(0).string() +
                             " is damaged and was removed; its shard is read from the dataset: "),
                  HasSubstr("train-00000-of-00002.lmdb, key "))));
  EXPECT_FALSE(fs::exists(TrainFile(0)));
  EXPECT_TRUE(fs::exists(TrainFile(1)));
}

TEST_F(LocalCopyTest, AnotherRunsCopiesAreUsedWhileItCopies) {
  fs::create_directories(TrainFolder());
  const auto other = FolderLock::TakeIfFree(TrainFolder());
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("another run is copying train to " + TrainFolder().string() +
                                 "; its copies are read as they are complete"));
  for (std::size_t i = 0; i < 2; ++i) {
    fs::copy_file(dataset_ / train().shards[i].file, TrainFile(i));
  }
  EXPECT_TRUE(run->lines.WaitFor("every shard of train"));
  EXPECT_THAT(run->Told(), Not(Contains(HasSubstr("copying 2 of 2 shards of train"))));
}

TEST_F(LocalCopyTest, WhatAnotherRunLeavesMissingIsTakenOver) {
  fs::create_directories(TrainFolder());
  auto other = FolderLock::TakeIfFree(TrainFolder());
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("another run is copying train"));
  fs::copy_file(dataset_ / train().shards[0].file, TrainFile(0));
  other.reset();
  EXPECT_TRUE(run->lines.WaitFor("every shard of train"));
  EXPECT_EQ(ReadFile(TrainFile(1)), ReadFile(dataset_ / train().shards[1].file));
}

TEST_F(LocalCopyTest, TwoRunsAtOnceShareTheCopies) {
  const auto first = MakeRun();
  const auto second = MakeRun();
  first->copy.Start(first->log);
  second->copy.Start(second->log);
  EXPECT_TRUE(first->lines.WaitFor("every shard of val"));
  EXPECT_TRUE(second->lines.WaitFor("every shard of val"));
  EXPECT_EQ(Files(local_), kAllFiles);
  EXPECT_EQ(Digests(first->loaders), Digests(second->loaders));
  std::vector<std::string> lines = first->Told();
  for (const std::string& line : second->Told()) lines.push_back(line);
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.starts_with("copying "); }),
            2)
      << testing::PrintToString(lines);
}

TEST_F(LocalCopyTest, WaitForAnotherRunEndsWithTheRun) {
  fs::create_directories(TrainFolder());
  const auto other = FolderLock::TakeIfFree(TrainFolder());
  const auto run = MakeRun();
  run->copy.Start(run->log);
  ASSERT_TRUE(run->lines.WaitFor("another run is copying train"));
  run->copy.Stop();
  EXPECT_TRUE(Files(local_).empty());
}

TEST_F(LocalCopyTest, StoppedAtAnyMomentLeavesWholeShardsOnly) {
  for (int i = 0; i < 20; ++i) {
    const auto run = MakeRun();
    run->copy.Start(run->log);
    std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
    run->copy.Stop();
    const std::size_t told = run->Told().size();
    for (const std::string& file : Files(local_)) EXPECT_THAT(kAllFiles, Contains(file));
    for (std::size_t shard = 0; shard < 2; ++shard) {
      if (!fs::exists(TrainFile(shard))) continue;
      EXPECT_TRUE(ReadFile(TrainFile(shard)) == ReadFile(dataset_ / train().shards[shard].file));
    }
    EXPECT_EQ(run->Told().size(), told);
    fs::remove_all(local_);
  }
}

TEST_F(LocalCopyTest, FolderThatCannotBeMadeIsToldAndTheRunGoesOn) {
  test::WriteText(TrainFolder(), "a file in its place");
  const auto run = MakeRun();
  run->copy.Start(run->log);
  EXPECT_TRUE(run->lines.WaitFor("copying to " + local_.string() +
                                 " ends, and what is missing is read from " + dataset_.string() +
                                 ": "));
  EXPECT_EQ(Digests(run->loaders).size(), 16u);
}

TEST_F(LocalCopyTest, FolderInsideTheDatasetIsRefused) {
  fs::create_directory_symlink(dataset_, folder_ / "link");
  for (const fs::path& inside : {dataset_, dataset_ / "copies", dataset_ / "." / "a/b/",
                                 folder_ / "link/copies", folder_ / "nowhere/../set/copies"}) {
    EXPECT_EQ(UsageErrorOf([&] { CopiedRun run(CopyingRecipe(inside), dataset_); }),
              (folder_ / "recipe.toml").string() + ": data.local_copy: is \"" + inside.string() +
                  "\"; that is inside the dataset " + dataset_.string() +
                  "; choose a folder on a disk of this machine");
  }
  // A name that only begins like the dataset's is another folder.
  EXPECT_NO_THROW(CopiedRun(CopyingRecipe(folder_ / "set-copies"), dataset_));
}

TEST_F(LocalCopyTest, FolderWhereAFileStandsIsRefused) {
  test::WriteText(folder_ / "file", "");
  for (const fs::path& place : {folder_ / "file", folder_ / "file/below"}) {
    EXPECT_THAT(UsageErrorOf([&] { CopiedRun run(CopyingRecipe(place), dataset_); }),
                HasSubstr("data.local_copy: is \"" + place.string() +
                          "\"; nothing can be written there (" + (folder_ / "file").string() +
                          " is not a folder); choose a folder on a disk of this machine"));
  }
}

TEST_F(LocalCopyTest, FolderThatCannotBeWrittenIsRefused) {
  const fs::path locked = folder_ / "locked";
  fs::create_directory(locked);
  fs::permissions(locked, fs::perms::owner_read | fs::perms::owner_exec);
  std::string reason = "Permission denied";
  // Root may write whatever the permissions say, but not to what is mounted for reading only.
  const bool is_mounted =
      ::geteuid() == 0 && ::mount("tmpfs", locked.c_str(), "tmpfs", MS_RDONLY, nullptr) == 0;
  if (is_mounted) reason = "Read-only file system";
  EXPECT_THAT(UsageErrorOf([&] { CopiedRun run(CopyingRecipe(locked / "a"), dataset_); }),
              HasSubstr(locked.string() + ": " + reason));
  if (is_mounted) ::umount2(locked.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace millrace::pipeline
