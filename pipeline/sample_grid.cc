#include "pipeline/sample_grid.h"

#include <algorithm>

#include "pipeline/loader_stages.h"
#include "stages/sample.h"
#include "stages/slot.h"

namespace millrace::pipeline {
namespace {

constexpr std::uint32_t kGapPixels = 2;  // between pictures, white

}  // namespace

SampleGrid MakeSampleGrid(const Recipe& recipe, const std::filesystem::path& dataset,
                          std::uint32_t rows, std::uint32_t columns) {
  LoaderStages loaders(recipe, dataset, {stages::Phase::kTrain});
  const auto num_samples =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, loaders.train().size()));
  // Smaller ones leave the rest of their place white.
  const stages::Size size = loaders.PictureSize(stages::Phase::kTrain);
  const auto width = static_cast<std::uint32_t>(size.width);
  const auto height = static_cast<std::uint32_t>(size.height);
  SampleGrid grid;
  grid.width = columns * (width + kGapPixels) - kGapPixels;
  grid.height = num_samples * (height + kGapPixels) - kGapPixels;
  grid.pixels.assign(std::size_t{3} * grid.width * grid.height, 255);

  stages::Slot slot(0, 1, std::size_t{3} * width * height);
  for (std::uint32_t row = 0; row < num_samples; ++row) {
    for (std::uint32_t column = 0; column < columns; ++column) {
      const stages::Batch batch{.phase = stages::Phase::kTrain, .epoch = column, .size = 1};
      slot.Begin(batch, loaders.PictureSizeOf(batch));
      const stages::Sample sample{
          .slot = &slot,
          .index = 0,
          .key = {.seed = recipe.seed, .epoch = column * recipe.train.repeats, .sample_id = row}};
      loaders.Read(sample);
      loaders.Decode(sample);
      loaders.Augment(sample);
      const std::uint32_t left = column * (width + kGapPixels);
      const std::size_t row_bytes = std::size_t{3} * static_cast<unsigned>(slot.picture().width);
      for (std::uint32_t y = 0; y < static_cast<std::uint32_t>(slot.picture().height); ++y) {
        const std::uint8_t* from = slot.image(0) + y * row_bytes;
        const std::size_t top = row * (height + kGapPixels) + y;
        std::copy(from, from + row_bytes,
                  grid.pixels.begin() + static_cast<std::ptrdiff_t>(3 * (top * grid.width + left)));
      }
    }
  }
  return grid;
}

}  // namespace millrace::pipeline
