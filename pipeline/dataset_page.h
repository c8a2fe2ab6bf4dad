// The summary of a dataset as an HTML page with sample pictures, in one file: `inspect --html`.
#pragma once

#include <cstddef>
#include <filesystem>

#include "pipeline/dataset_summary.h"

namespace millrace::pipeline {

struct DatasetPage {
  std::size_t bytes = 0;     // of the file
  std::size_t pictures = 0;  // on it
};

// Pictures take up to so much of a page [bytes]; the rest of it is text, some 200 bytes per class.
inline constexpr std::size_t kMostPictureBytes = std::size_t{8} << 20;

// Writes the page atomically. The same dataset gives the same page. A picture that is damaged or
// finds no room has a sentence in its place. Memory: the page, and one picture decoded. Throws
// Error naming `file` when it cannot be written.
DatasetPage WriteDatasetPage(const DatasetSummary& summary, const std::filesystem::path& file);

}  // namespace millrace::pipeline
