// The class of a WebDataset sample, from whatever its writer put beside the picture.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "storage/sources/class_list.h"

namespace millrace::storage {

// What a sample says of its class: the contents of its ".cls" and ".json", where it has them.
struct WebdatasetLabel {
  std::optional<std::string> cls;
  std::optional<std::string> json;
};

// The class id, from the first of these that is there:
//   1. a text in the JSON's "wnid", "synset", "synset_id" or "class_id";
//   2. the JSON's "filename" when it is "<wnid>/...", as in timm's ImageNet (timm/imagenet-1k-wds);
//   3. the ".cls", as the webdataset project writes ImageNet, or a number in the JSON's "cls",
//      "label" or "class_id". A number is a position in `classes`; without that list it becomes an
//      id of five digits, so that the order of bytes is the order of numbers.
// A fault when the sample names no class. Throws Error for a number that the list does not have, or
// of more than five digits without one.
Result<std::string> WebdatasetClass(const WebdatasetLabel& label, const ClassList& classes);

}  // namespace millrace::storage
