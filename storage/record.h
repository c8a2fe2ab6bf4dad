// One record between its bytes in a shard and its fields: the only place that knows FlatBuffers.
// FORMAT.md, "Record".
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "storage/record_view.h"

namespace millrace::storage {

// The largest payload that a record may hold [bytes].
inline constexpr std::size_t kMaxPayloadBytes = std::size_t{1} << 29;

// The bytes of a record: a pure function of its fields. `payload_hash` is computed here, whatever
// `record` says. REQUIRES: payload.size() <= kMaxPayloadBytes
std::vector<std::byte> SerializeRecord(const RecordView& record);

// The fields of a record, as views into `bytes`. The structure and the hash over the header are
// checked, the payload is not touched. Does not allocate when it succeeds. `bytes` may lie at any
// even address.
Result<RecordView> ParseRecord(std::span<const std::byte> bytes);

// Whether the payload still has the hash that the record carries.
Outcome CheckPayload(const RecordView& record);

}  // namespace millrace::storage
