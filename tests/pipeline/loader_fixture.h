// A small converted dataset with a recipe for it, and what its loaders should make of each sample,
// computed the long way round.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "pipeline/convert.h"
#include "pipeline/loader_stages.h"
#include "pipeline/recipe.h"
#include "stages/decode.h"
#include "stages/resize.h"
#include "stages/transform.h"
#include "storage/split_reader.h"
#include "tests/pipeline/convert_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::test {

class LoaderTest : public testing::Test {
 protected:
  // 3 classes of 8 pictures to train on, in 2 shards, and of 3 to evaluate on.
  void SetUp() override {
    MakeImageFolder(folder_ / "from/train", 3, 8);
    MakeImageFolder(folder_ / "from/val", 3, 3, /*seed=*/2);
    pipeline::Convert(
        {.sources = {folder_ / "from/train"}, .to = dataset_, .split = "train", .shards = 2});
    pipeline::Convert({.sources = {folder_ / "from/val"}, .to = dataset_, .split = "val"});
  }

  pipeline::Recipe LoadRecipe(const std::vector<std::string>& overrides = {}) const {
    WriteText(folder_ / "recipe.toml", R"(
seed = 11
[data.train]
ops = [
  { op = "random_resized_crop", size = 20, scale = [0.2, 1.0] },
  { op = "horizontal_flip" },
]
[data.val]
ops = [{ op = "resize", size = 26 }, { op = "center_crop", width = 24, height = 22 }]
[batch]
per_device = 4
[train]
epochs = 2
)");
    return pipeline::Recipe::Load(folder_ / "recipe.toml", overrides);
  }

  // The finished pixels of a sample: the whole picture decoded, what the plan needs cut out of it,
  // the scalar kernels, and the pixel operations with memory that nobody has used.
  static std::vector<std::uint8_t> Expected(const storage::SplitReader& reader,
                                            const std::vector<Params>& ops, const RandomKey& key) {
    const auto record = reader.Read(key.sample_id);
    EXPECT_TRUE(record);
    const stages::Transform transform(ops, stages::BuiltInOperations());
    const auto geometry =
        transform.Plan({static_cast<int>(record->width), static_cast<int>(record->height)}, key);
    EXPECT_TRUE(geometry);
    stages::Image whole;
    EXPECT_TRUE(stages::Decoder().DecodeFull(record->payload, &whole));
    const stages::Box box = stages::SourceOf(*geometry);
    stages::Image part;
    part.Resize(box.width, box.height);
    for (int y = 0; y < box.height; ++y) {
      std::memcpy(part.row(y), whole.row(box.y + y) + box.x * stages::kChannels, part.row_bytes());
    }
    const stages::Size size = transform.output_size();
    const auto row_bytes = static_cast<std::size_t>(size.width) * stages::kChannels;
    std::vector<std::uint8_t> pixels(row_bytes * static_cast<std::size_t>(size.height));
    stages::Resizer(stages::Kernels::kScalar).Resize(*geometry, part, pixels.data(), row_bytes);
    stages::PixelScratch scratch;
    transform.ApplyPixelOps(key, &scratch, pixels.data());
    return pixels;
  }

  const TemporaryFolder folder_;
  const std::filesystem::path dataset_ = folder_ / "set";
};

}  // namespace millrace::test
