// ILSVRC2012_img_val.tar as a source: a flat tar of pictures whose labels come from elsewhere.
#pragma once

#include <memory>

#include "storage/sources/devkit.h"
#include "storage/sources/input_file.h"
#include "storage/sources/sample_source.h"

namespace millrace::storage {

// Goes through the headers of the tar to sort the names for the labels; throws Error when it is cut
// off or compressed, holds a name twice, or the labels do not fit. A part is an equal run of the
// pictures. Memory: about 150 bytes per picture.
std::unique_ptr<SampleSource> OpenValTar(const std::shared_ptr<const InputFile>& file,
                                         const Devkit& devkit, const ClassNames& names,
                                         SourcePart part);

}  // namespace millrace::storage
