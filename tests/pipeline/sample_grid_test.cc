#include "pipeline/sample_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/pipeline/loader_fixture.h"

namespace millrace::pipeline {
namespace {

class SampleGridTest : public test::LoaderTest {};

constexpr std::uint32_t kSide = 20;  // of the recipe's training pictures [pixels]
constexpr std::uint32_t kGap = 2;

std::vector<std::uint8_t> Cell(const SampleGrid& grid, std::uint32_t row, std::uint32_t column) {
  std::vector<std::uint8_t> pixels;
  for (std::uint32_t y = 0; y < kSide; ++y) {
    const auto begin = grid.pixels.begin() +
                       3 * static_cast<std::ptrdiff_t>((row * (kSide + kGap) + y) * grid.width +
                                                       column * (kSide + kGap));
    pixels.insert(pixels.end(), begin, begin + 3 * kSide);
  }
  return pixels;
}

TEST_F(SampleGridTest, RowsAreSamplesAndColumnsAreEpochsOfTheTrainingLoader) {
  const Recipe recipe = LoadRecipe();
  const SampleGrid grid = MakeSampleGrid(recipe, dataset_, 3, 4);
  EXPECT_EQ(grid.width, 4 * kSide + 3 * kGap);
  EXPECT_EQ(grid.height, 3 * kSide + 2 * kGap);
  ASSERT_EQ(grid.pixels.size(), std::size_t{3} * grid.width * grid.height);
  const storage::SplitReader reader(dataset_, "train");
  for (std::uint32_t row = 0; row < 3; ++row) {
    for (std::uint32_t column = 0; column < 4; ++column) {
      EXPECT_EQ(Cell(grid, row, column),
                Expected(reader, recipe.train.ops, {.seed = 11, .epoch = column, .sample_id = row}))
          << "row " << row << ", column " << column;
    }
  }
}

TEST_F(SampleGridTest, PicturesThatGrowHaveTheirEpochsSizeAndWhiteAroundThem) {
  const Recipe recipe = LoadRecipe(
      {"data.train.progressive={ from = 10, begin_epoch = 0, end_epoch = 1, step = 10 }"});
  const SampleGrid grid = MakeSampleGrid(recipe, dataset_, 1, 2);
  const storage::SplitReader reader(dataset_, "train");
  const RandomKey key{.seed = 11, .epoch = 0, .sample_id = 0};
  const auto small = Expected(
      reader,
      LoadRecipe({"data.train.ops=[{ op = 'random_resized_crop', size = 10, scale = [0.2, 1.0] }, "
                  "{ op = 'horizontal_flip' }]"})
          .train.ops,
      key);
  std::vector<std::uint8_t> wanted(std::size_t{3} * kSide * kSide, 255);
  for (std::ptrdiff_t y = 0; y < 10; ++y) {
    std::copy_n(small.begin() + 30 * y, 30, wanted.begin() + 3 * kSide * y);
  }
  EXPECT_EQ(Cell(grid, 0, 0), wanted);
  EXPECT_EQ(Cell(grid, 0, 1),
            Expected(reader, recipe.train.ops, {.seed = 11, .epoch = 1, .sample_id = 0}));
}

TEST_F(SampleGridTest, GapsAreWhite) {
  const SampleGrid grid = MakeSampleGrid(LoadRecipe(), dataset_, 2, 2);
  for (std::uint32_t y = 0; y < grid.height; ++y) {
    for (std::uint32_t x = 0; x < grid.width; ++x) {
      if (x % (kSide + kGap) < kSide && y % (kSide + kGap) < kSide) continue;
      for (std::size_t c = 0; c < 3; ++c) {
        ASSERT_EQ(grid.pixels[3 * (std::size_t{y} * grid.width + x) + c], 255) << x << "," << y;
      }
    }
  }
}

TEST_F(SampleGridTest, SmallSplitHasFewerRows) {
  const SampleGrid grid = MakeSampleGrid(LoadRecipe(), dataset_, 64, 1);
  EXPECT_EQ(grid.width, kSide);
  EXPECT_EQ(grid.height, 24 * kSide + 23 * kGap);
}

TEST_F(SampleGridTest, SameRecipeGivesTheSameGridAndAnotherSeedAnother) {
  const auto pixels = [&](const std::vector<std::string>& overrides) {
    return MakeSampleGrid(LoadRecipe(overrides), dataset_, 2, 2).pixels;
  };
  EXPECT_EQ(pixels({}), pixels({}));
  EXPECT_NE(pixels({}), pixels({"seed=12"}));
}

}  // namespace
}  // namespace millrace::pipeline
