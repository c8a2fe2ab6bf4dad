// An image folder as a source: class sub-folders with pictures in them.
#pragma once

#include <filesystem>
#include <memory>

#include "storage/sources/class_list.h"
#include "storage/sources/sample_source.h"

namespace millrace::storage {

// Lists the folder; throws what ListImageFolder throws. Items are its files in the order of the
// listing, not read yet; a part is an equal run of them, and the first part has what is ignored.
// Folders that are all named by numbers, as ImageNet-V2's are, and not by ids of `classes` hold the
// classes that stand at these positions in `classes` (without that list, their names are ids).
// Throws Error naming the folder when there is no such position, or two folders mean the same.
// Memory: about 200 bytes per file of the part, while opening of all parts.
std::unique_ptr<SampleSource> OpenFolder(const std::filesystem::path& root,
                                         const ClassList& classes, const ClassNames& names,
                                         SourcePart part);

}  // namespace millrace::storage
