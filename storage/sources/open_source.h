// Opens what somebody names as a source, whatever it is.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "storage/sources/sample_source.h"

namespace millrace::storage {

struct SourceOptions {
  std::filesystem::path devkit;   // labels of the validation tar, readable names; empty: none
  std::filesystem::path classes;  // ids of class numbers, readable names; empty: none
  SourcePart part;
};

// Opens `source`, whose kind is told by what is in it, not by its name:
//   - a folder of class folders with pictures;
//   - ILSVRC2012_img_train.tar, a tar of "<class id>.tar";
//   - ILSVRC2012_img_val.tar, a flat tar of pictures; needs the devkit;
//   - WebDataset tars, gzip-compressed or not: one, a folder of them, or several as in
//     "imagenet-{000..127}.tar".
// Files are the same whoever lists them, so workers that open the same source with different parts
// agree on everything else. Throws Error when there is nothing that can be read, and what the kinds
// throw (folder_source.h, train_tar_source.h, val_tar_source.h, webdataset_source.h), devkit.h and
// class_list.h.
// REQUIRES: options.part.index < options.part.count
std::unique_ptr<SampleSource> OpenSource(const std::string& source,
                                         const SourceOptions& options = {});

}  // namespace millrace::storage
