#include "storage/record.h"

#include <flatbuffers/flatbuffers.h>

#include <array>

#include "base/check.h"
#include "base/hash.h"
#include "storage/record_generated.h"

namespace millrace::storage {
namespace {

// Everything but the payload itself, so that a flipped bit in a label is found like one in a
// picture. Laid out in FORMAT.md.
std::uint64_t HeaderHash(const RecordView& record) {
  const std::array<std::uint64_t, 9> numbers = {
      record.label,
      record.width,
      record.height,
      static_cast<std::uint64_t>(record.subsampling),
      record.repairs,
      record.payload_hash,
      record.region_index.segment_mcus,
      Hash64(record.path),
      Hash64(std::as_bytes(record.region_index.segment_bytes)),
  };
  return Hash64(std::as_bytes(std::span(numbers)));
}

// FlatBuffers wants its numbers at multiples of their size and a record lies at any even address:
// what it reads from a pointer of the number's type is read here from bytes.
const flatbuffers::Table& Root(std::span<const std::byte> record) {
  const std::byte* offset = record.data() + sizeof(flatbuffers::uoffset_t);  // behind the size
  return *reinterpret_cast<const flatbuffers::Table*>(
      offset + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(offset));
}

// A vector of numbers of type T; empty where the table has none.
template <typename T>
std::span<const T> Vector(const flatbuffers::Table& table, flatbuffers::voffset_t field) {
  const auto* count = table.GetPointer<const std::byte*>(field);
  if (count == nullptr) return {};
  return {reinterpret_cast<const T*>(count + sizeof(flatbuffers::uoffset_t)),
          flatbuffers::ReadScalar<flatbuffers::uoffset_t>(count)};
}

const std::uint8_t* Unsigned(const std::byte* bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes);
}

}  // namespace

std::vector<std::byte> SerializeRecord(const RecordView& given) {
  MILLRACE_CHECK(given.payload.size() <= kMaxPayloadBytes);
  RecordView record = given;
  record.payload_hash = Hash64(record.payload);

  flatbuffers::FlatBufferBuilder builder(record.payload.size() + record.path.size() +
                                         2 * record.region_index.segment_bytes.size() + 256);
  // FlatBuffers builds backwards: the payload comes first here to lie last in the bytes, so that
  // header and index share the record's first page.
  const auto payload = builder.CreateVector(Unsigned(record.payload.data()), record.payload.size());
  flatbuffers::Offset<flat::RegionIndex> region_index;
  if (record.region_index.segment_mcus != 0) {
    const auto segments = builder.CreateVector(record.region_index.segment_bytes.data(),
                                               record.region_index.segment_bytes.size());
    region_index = flat::CreateRegionIndex(builder, record.region_index.segment_mcus, segments);
  }
  const auto path = builder.CreateString(record.path.data(), record.path.size());
  flat::RecordBuilder fields(builder);
  fields.add_header_hash(HeaderHash(record));
  fields.add_payload_hash(record.payload_hash);
  fields.add_region_index(region_index);
  fields.add_payload(payload);
  fields.add_repairs(record.repairs);
  fields.add_height(record.height);
  fields.add_width(record.width);
  fields.add_path(path);
  fields.add_label(record.label);
  fields.add_subsampling(static_cast<std::uint8_t>(record.subsampling));
  builder.FinishSizePrefixed(fields.Finish());
  const auto* begin = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {begin, begin + builder.GetSize()};
}

Result<RecordView> ParseRecord(std::span<const std::byte> bytes) {
  flatbuffers::Verifier verifier(Unsigned(bytes.data()), bytes.size());
  if (bytes.size() < 2 * sizeof(flatbuffers::uoffset_t) ||
      !verifier.VerifySizePrefixedBuffer<flat::Record>(nullptr)) {
    return Fault{"the record is damaged (its structure does not verify)"};
  }
  using flat::Record;
  const flatbuffers::Table& table = Root(bytes);
  const auto path = Vector<char>(table, Record::VT_PATH);
  RecordView record{.label = table.GetField<std::uint32_t>(Record::VT_LABEL, 0),
                    .width = table.GetField<std::uint32_t>(Record::VT_WIDTH, 0),
                    .height = table.GetField<std::uint32_t>(Record::VT_HEIGHT, 0),
                    .subsampling = static_cast<Subsampling>(
                        table.GetField<std::uint8_t>(Record::VT_SUBSAMPLING, 0)),
                    .repairs = table.GetField<std::uint32_t>(Record::VT_REPAIRS, 0),
                    .payload_hash = table.GetField<std::uint64_t>(Record::VT_PAYLOAD_HASH, 0),
                    .path = {path.data(), path.size()},
                    .payload = Vector<std::byte>(table, Record::VT_PAYLOAD),
                    .region_index = {}};
  if (const auto* index = table.GetPointer<const flatbuffers::Table*>(Record::VT_REGION_INDEX);
      index != nullptr) {
    record.region_index = {
        .segment_mcus = index->GetField<std::uint32_t>(flat::RegionIndex::VT_SEGMENT_MCUS, 0),
        // At an even address, for the record is and FlatBuffers aligns within it.
        .segment_bytes = Vector<std::uint16_t>(*index, flat::RegionIndex::VT_SEGMENT_BYTES)};
  }
  if (HeaderHash(record) != table.GetField<std::uint64_t>(Record::VT_HEADER_HASH, 0)) {
    return Fault{"the record is damaged (its header does not have the hash that it carries)"};
  }
  return record;
}

Outcome CheckPayload(const RecordView& record) {
  if (Hash64(record.payload) == record.payload_hash) return Ok();
  return Fault{"the picture is damaged (it does not have the hash that its record carries)"};
}

}  // namespace millrace::storage
