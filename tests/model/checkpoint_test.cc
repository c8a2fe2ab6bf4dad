#include "model/checkpoint.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "tests/model/test_folder.h"

namespace millrace::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Checkpoint MakeCheckpoint(double value) {
  return {.weights = {{"fc.weight", at::full({2, 3}, value)},
                      {"bn1.num_batches_tracked", at::full({}, 7, at::kLong)}},
          .optimizer = {{"fc.weight.momentum_buffer", at::full({2, 3}, value + 1)}},
          .average = {{"fc.weight", at::full({2, 3}, value + 2)}},
          .metadata = {{"step", "12"}, {"config", "lr = 1\n"}}};
}

class CheckpointFile : public TestFolder {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void Write(std::int64_t step) {
    WriteCheckpoint(CheckpointPath(folder(), step), MakeCheckpoint(static_cast<double>(step)));
  }
};

TEST_F(CheckpointFile, ComesBackAsItWas) {
  const auto path = CheckpointPath(folder(), 12);
  EXPECT_EQ(path.filename(), "step-00000012.safetensors");
  WriteCheckpoint(path, MakeCheckpoint(0.5));
  const Checkpoint read = ReadCheckpoint(path);
  const Checkpoint wanted = MakeCheckpoint(0.5);
  EXPECT_TRUE(CompareStates(wanted.weights, read.weights).empty());
  EXPECT_TRUE(CompareStates(wanted.optimizer, read.optimizer).empty());
  EXPECT_EQ(read.metadata, wanted.metadata);
  ASSERT_EQ(read.optimizer.size(), 1u);
  EXPECT_EQ(read.optimizer[0].name, "fc.weight.momentum_buffer");
  EXPECT_TRUE(at::equal(read.optimizer[0].tensor, at::full({2, 3}, 1.5)));
  ASSERT_EQ(read.average.size(), 1u);
  EXPECT_EQ(read.average[0].name, "fc.weight");
  EXPECT_TRUE(at::equal(read.average[0].tensor, at::full({2, 3}, 2.5)));
}

TEST_F(CheckpointFile, NewerOnesAreSetAsideUnderAnotherName) {
  for (const std::int64_t step : {3, 5, 8}) Write(step);
  EXPECT_THAT(SetAsideNewer(folder(), 3),
              ElementsAre(folder() / "superseded-step-00000008.safetensors",
                          folder() / "superseded-step-00000005.safetensors"));
  EXPECT_THAT(Names(),
              ElementsAre("step-00000003.safetensors", "superseded-step-00000005.safetensors",
                          "superseded-step-00000008.safetensors"));
  EXPECT_EQ(FindNewestCheckpoint(folder()).newest->step, 3);
  PruneCheckpoints(folder(), 1);
  EXPECT_EQ(Names().size(), 3u);
  EXPECT_THAT(SetAsideNewer(folder(), 3), ElementsAre());
  EXPECT_THAT(SetAsideNewer(folder() / "missing", 0), ElementsAre());
}

TEST_F(CheckpointFile, SameCheckpointGivesTheSameBytes) {
  WriteCheckpoint(folder() / "a", MakeCheckpoint(1));
  WriteCheckpoint(folder() / "b", MakeCheckpoint(1));
  EXPECT_EQ(ReadFile(folder() / "a"), ReadFile(folder() / "b"));
}

TEST(DifferingWeights, AreThoseOfWhichABitIsAnother) {
  const Checkpoint one = MakeCheckpoint(0.5);
  EXPECT_THAT(DifferingWeights(one, MakeCheckpoint(0.5)), ElementsAre());
  EXPECT_THAT(DifferingWeights(one, MakeCheckpoint(0.75)),
              ElementsAre("fc.weight", "ema.fc.weight"));
  Checkpoint other = MakeCheckpoint(0.5);
  other.average[0].tensor[0][0] = 7;
  EXPECT_THAT(DifferingWeights(one, other), ElementsAre("ema.fc.weight"));
  other.average.clear();
  other.weights.pop_back();
  EXPECT_THAT(DifferingWeights(one, other),
              ElementsAre("bn1.num_batches_tracked", "ema.fc.weight"));
  EXPECT_THAT(DifferingWeights(other, one),
              ElementsAre("bn1.num_batches_tracked", "ema.fc.weight"));
}

TEST_F(CheckpointFile, AnyFlippedByteIsFound) {
  const auto path = folder() / "c";
  WriteCheckpoint(path, MakeCheckpoint(1));
  const std::string whole = ReadFile(path);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 4);
    WriteFileAtomically(path, bytes);
    EXPECT_THROW(ReadCheckpoint(path), Error) << i << ": " << whole.substr(i, 16);
  }
}

TEST_F(CheckpointFile, MetadataThatIsNotUtf8IsReplacedNotFatal) {
  Checkpoint checkpoint = MakeCheckpoint(1);
  checkpoint.metadata["data"] = "/data/\xff";
  WriteCheckpoint(folder() / "c", checkpoint);
  EXPECT_EQ(ReadCheckpoint(folder() / "c").metadata.at("data"), "/data/\xef\xbf\xbd");
}

TEST_F(CheckpointFile, OtherFilesAreRefused) {
  const auto path = folder() / "w.safetensors";
  WriteSafetensors(path, {}, {{"format", "pt"}});
  try {
    ReadCheckpoint(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("w.safetensors: not a checkpoint of millrace"));
  }
  WriteSafetensors(path, {}, {{"millrace.checkpoint", "2"}});
  try {
    ReadCheckpoint(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a checkpoint of format 2; this program reads format 1"));
  }
}

TEST_F(CheckpointFile, NewestValidOneIsFoundAndTornOnesAreNamed) {
  Write(5);
  Write(100);
  WriteFileAtomically(CheckpointPath(folder(), 200), "torn");
  WriteSafetensors(CheckpointPath(folder(), 300), {}, {});
  WriteFileAtomically(folder() / "step-400.safetensors.tmp", "half");
  WriteFileAtomically(folder() / "step-x.safetensors", "");
  WriteFileAtomically(folder() / "notes.txt", "");
  const CheckpointSearch search = FindNewestCheckpoint(folder());
  ASSERT_TRUE(search.newest.has_value());
  EXPECT_EQ(search.newest->step, 100);
  EXPECT_EQ(search.newest->path, CheckpointPath(folder(), 100));
  EXPECT_TRUE(at::equal(search.newest->checkpoint.optimizer[0].tensor, at::full({2, 3}, 101.0)));
  EXPECT_THAT(search.skipped, ElementsAre(HasSubstr("not a checkpoint of millrace"),
                                          HasSubstr("not a safetensors file: only 4 bytes")));
}

TEST_F(CheckpointFile, StepsAreOrderedAsNumbers) {
  WriteCheckpoint(folder() / "step-9.safetensors", MakeCheckpoint(9));
  Write(123456789012);
  EXPECT_EQ(FindNewestCheckpoint(folder()).newest->step, 123456789012);
}

TEST_F(CheckpointFile, FolderWithoutAnyHoldsNone) {
  EXPECT_FALSE(FindNewestCheckpoint(folder()).newest.has_value());
  EXPECT_FALSE(FindNewestCheckpoint(folder() / "missing").newest.has_value());
}

TEST_F(CheckpointFile, PruningKeepsTheNewestAndForeignFiles) {
  for (const std::int64_t step : {1, 20, 3, 100}) Write(step);
  WriteFileAtomically(folder() / "step-00000020.safetensors.tmp", "half");
  WriteFileAtomically(folder() / "notes.txt", "");
  WriteFileAtomically(folder() / "best.safetensors", "");
  PruneCheckpoints(folder(), 2);
  EXPECT_THAT(Names(), ElementsAre("best.safetensors", "notes.txt", "step-00000020.safetensors",
                                   "step-00000100.safetensors"));
  PruneCheckpoints(folder(), 5);
  EXPECT_EQ(Names().size(), 4u);
}

}  // namespace
}  // namespace millrace::model
