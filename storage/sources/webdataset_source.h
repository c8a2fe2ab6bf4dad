// WebDataset tars as a source: the files of one sample have one name and lie side by side,
// "0001.cls 0001.jpg 0001.json".
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/sources/class_list.h"
#include "storage/sources/sample_source.h"

namespace millrace::storage {

// The name of a sample's file without and with what follows the first dot of its base name, as
// WebDataset cuts it: "a/0001.cls" is the sample "a/0001" and its "cls" (in lower case).
struct SampleName {
  std::string_view sample;
  std::string extension;  // empty: no file of a sample
};
SampleName SplitSampleName(std::string_view name);

// Opens these tars (gzip-compressed ones too), in this order, one at a time as they are reached. An
// item is a sample with a picture; `classes` says what class numbers mean (webdataset_label.h). A
// sample without a class, or with one that is no class id, is an item with a fault. A part is a run
// of whole tars of about equally many bytes. Files beside picture, ".cls" and ".json" are not
// looked at and not named. Throws Error when a tar is missing.
std::unique_ptr<SampleSource> OpenWebdataset(const std::vector<std::filesystem::path>& tars,
                                             const ClassList& classes, const ClassNames& names,
                                             IgnoredFiles ignored, SourcePart part);

}  // namespace millrace::storage
