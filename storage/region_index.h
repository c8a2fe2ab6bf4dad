// Whether a record's region index is the one of its picture. FORMAT.md, "Record".
#pragma once

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::storage {

// Finds the restart markers where the index says that they are: the payload announces one every
// segment_mcus MCUs, each segment ends at its marker, in the order of their numbers, and the last
// one at the end of the picture. What is inside of the segments is not looked at. Fault: it does
// not fit. A record without an index is in order.
Outcome CheckRegionIndex(const RecordView& record);

}  // namespace millrace::storage
