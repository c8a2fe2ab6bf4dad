// What a recipe's operations do to pictures, side by side: for people to look at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "pipeline/recipe.h"

namespace millrace::pipeline {

// One picture of many: uint8 [height, width, 3] RGB.
struct SampleGrid {
  std::uint32_t width = 0;   // [pixels]
  std::uint32_t height = 0;  // [pixels]
  std::vector<std::uint8_t> pixels;
};

// Each row shows one sample of the training split (ids 0, 1, ...) as the training loader delivers
// it in as many epochs as there are columns, made by the stages that training uses. Throws Error.
SampleGrid MakeSampleGrid(const Recipe& recipe, const std::filesystem::path& dataset,
                          std::uint32_t rows, std::uint32_t columns);

}  // namespace millrace::pipeline
