// Labels that a file gives to the samples of a split, beside those of its records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "storage/split_reader.h"

namespace millrace::pipeline {

// The right classes of each sample of the split, by sample id, sorted; none where the file gives
// none. Kinds of files:
//   .json with a list    of a list of labels for each of ILSVRC2012_val_00000001 and on, as
//                        real.json of https://github.com/google-research/reassessed-imagenet;
//                        samples are found by the number in their file's name
//   .json with an object of paths, each with a label or a list of them
//   any other            lines "path label[ label...]"; where the line has a tab it ends the path,
//                        which then may have blanks
// A path is the record's, or its last part alone where no two samples share it. A label is a class
// id, or a class number: the position among the class ids in sorted order, which for ImageNet's
// wnids is torchvision's numbering and that of real.json.
//
// Peeks into every record of the split. Throws Error naming file and line or entry: what cannot be
// read, a path or class that the split does not have, a class that the file's numbers cannot mean,
// no labels for any sample.
std::vector<std::vector<std::int64_t>> ReadLabelFile(const std::filesystem::path& file,
                                                     const storage::SplitReader& split);

}  // namespace millrace::pipeline
