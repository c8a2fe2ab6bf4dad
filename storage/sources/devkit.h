// What labels the pictures of ILSVRC2012_img_val.tar: the devkit, or a list of labels.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "storage/sources/class_list.h"

namespace millrace::storage {

struct Devkit {
  std::string origin;               // the file or folder, for messages
  ClassList classes;                // sorted by id, as torchvision numbers them; empty: not known
  std::vector<std::string> labels;  // class ids of the pictures in the order of their names
  std::map<std::string, std::string> labels_by_name;  // or by name, with or without extension
};

// Reads ILSVRC2012_devkit_t12.tar.gz, the folder unpacked from it, or a text file of labels: a
// class id per line in the order of the pictures' names, or lines "name id". A devkit without the
// list of labels is good for the names. Throws Error: neither of these, a line that is no label
// (numbers mean something only together with meta.mat), damaged files.
Devkit ReadDevkit(const std::filesystem::path& path);

// The class id of each picture. REQUIRES: `names` is sorted and has no duplicates. Throws Error
// when labels and pictures are not as many, or a picture has none.
std::vector<std::string> LabelPictures(const Devkit& devkit, const std::vector<std::string>& names,
                                       const std::string& archive);

}  // namespace millrace::storage
