// ILSVRC2012_img_train.tar as a source: a tar of tars, "<class id>.tar" with the pictures of a
// class.
#pragma once

#include <memory>

#include "storage/sources/input_file.h"
#include "storage/sources/sample_source.h"

namespace millrace::storage {

// Goes through the headers of the outer tar, so that one that was cut off is found at once; throws
// Error for that, for a compressed tar, a class that is there twice and a name that is no class id.
// A part is a run of whole classes of about equally many bytes.
std::unique_ptr<SampleSource> OpenTrainTar(const std::shared_ptr<const InputFile>& file,
                                           const ClassNames& names, SourcePart part);

}  // namespace millrace::storage
