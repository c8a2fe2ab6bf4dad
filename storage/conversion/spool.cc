#include "storage/conversion/spool.h"

#include <fcntl.h>
#include <flatbuffers/flatbuffers.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "storage/record.h"
#include "storage/spool_generated.h"

namespace millrace::storage {
namespace {

std::string Reason() { return std::generic_category().message(errno); }

// As soon as so much has come the disk is told to write it, so that Sync() need not wait for all of
// it at the end.
constexpr std::size_t kWriteBehindBytes = std::size_t{1} << 20;

// In front of each entry, in this machine's byte order.
struct FrameHead {
  std::uint64_t magic = kMagic;
  std::uint64_t entry_bytes = 0;
  std::uint64_t deal_key = 0;
  std::uint64_t source = 0;
  std::uint64_t position = 0;
  std::uint64_t source_bytes = 0;
  std::uint64_t reserved = 0;  // the entry lies at a multiple of 16
  std::uint64_t hash = 0;      // XXH3-64 of the numbers before and of the entry

  static constexpr std::uint64_t kMagic = 0x656d617266726d00;  // "\0mrframe"
};
static_assert(sizeof(FrameHead) == 64);

// Texts and index beside the payload: far more than any has.
constexpr std::uint64_t kMaxEntryBytes = kMaxPayloadBytes + (std::uint64_t{1} << 27);

std::uint64_t HashFrame(const FrameHead& head, std::span<const std::byte> entry) {
  Hasher hasher;
  hasher.Add(std::as_bytes(std::span(&head, 1)).first(offsetof(FrameHead, hash)));
  hasher.Add(entry);
  return hasher.Digest();
}

bool IsHead(const FrameHead& head) {
  return head.magic == FrameHead::kMagic && head.entry_bytes <= kMaxEntryBytes;
}

// The frame's head at `offset`, or nothing where there is none or the file ends within the frame.
std::optional<FrameHead> ReadHead(const InputFile& file, std::uint64_t offset) {
  FrameHead head;
  const auto bytes = std::as_writable_bytes(std::span(&head, 1));
  if (file.ReadAt(offset, bytes) != bytes.size() || !IsHead(head)) return {};
  if (file.size() - offset - sizeof(head) < head.entry_bytes) return {};
  return head;
}

FramePlace PlaceOf(const FrameHead& head, std::uint64_t offset) {
  return {.facts = {.deal_key = head.deal_key,
                    .place = {.source = static_cast<std::uint32_t>(head.source),
                              .position = head.position},
                    .source_bytes = head.source_bytes},
          .offset = offset,
          .bytes = sizeof(head) + head.entry_bytes};
}

std::string_view View(const flatbuffers::String* text) { return {text->c_str(), text->size()}; }

const std::uint8_t* Unsigned(const std::byte* bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes);
}

}  // namespace

std::vector<std::byte> MakeFrame(const FrameFacts& facts, const SpoolEntry& entry) {
  const RecordView& record = entry.record;
  MILLRACE_CHECK(record.payload.size() <= kMaxPayloadBytes);
  flatbuffers::FlatBufferBuilder builder(record.payload.size() +
                                         2 * record.region_index.segment_bytes.size() + 1024);
  const auto text = [&](std::string_view view) {
    return builder.CreateString(view.data(), view.size());
  };
  const auto payload = builder.CreateVector(Unsigned(record.payload.data()), record.payload.size());
  const auto& index = record.region_index;
  const auto segments =
      builder.CreateVector(index.segment_bytes.data(), index.segment_bytes.size());
  builder.Finish(flat::CreateSpoolEntry(
      builder, text(entry.class_id), text(entry.origin), text(entry.found), text(entry.done),
      text(record.path), record.width, record.height, static_cast<std::uint8_t>(record.subsampling),
      record.repairs, index.segment_mcus, segments, payload));

  const std::span built(reinterpret_cast<const std::byte*>(builder.GetBufferPointer()),
                        builder.GetSize());
  FrameHead head{.entry_bytes = built.size(),
                 .deal_key = facts.deal_key,
                 .source = facts.place.source,
                 .position = facts.place.position,
                 .source_bytes = facts.source_bytes};
  head.hash = HashFrame(head, built);
  const auto head_bytes = std::as_bytes(std::span(&head, 1));
  std::vector<std::byte> frame;
  frame.reserve(head_bytes.size() + built.size());
  frame.insert(frame.end(), head_bytes.begin(), head_bytes.end());
  frame.insert(frame.end(), built.begin(), built.end());
  return frame;
}

SpoolWriter::~SpoolWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void SpoolWriter::Append(std::span<const std::byte> frame) {
  if (!Write(frame)) return;
  // Only a beginning: what it fails at, Sync() will tell.
  ::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);
}

// Whether it is time for the disk to write.
bool SpoolWriter::Write(std::span<const std::byte> frame) {
  const std::scoped_lock lock(mutex_);
  if (descriptor_ < 0) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0) Fail("cannot create {}: {}", path_.string(), Reason());
  }
  unwritten_bytes_ += frame.size();
  while (!frame.empty()) {
    const ssize_t count = ::write(descriptor_, frame.data(), frame.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("cannot write {}: {}", path_.string(), Reason());
    frame = frame.subspan(static_cast<std::size_t>(count));
  }
  if (unwritten_bytes_ < kWriteBehindBytes) return false;
  unwritten_bytes_ = 0;
  return true;
}

void SpoolWriter::Sync() {
  const std::scoped_lock lock(mutex_);
  // What an earlier run has left may not be synced either.
  if (descriptor_ < 0) descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0 && errno == ENOENT) return;
  if (descriptor_ < 0 || ::fsync(descriptor_) != 0) {
    Fail("cannot sync {}: {}", path_.string(), Reason());
  }
}

void RecoverSpool(const std::filesystem::path& path, const FrameVisitor& visit) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) return;
  const InputFile file(path);
  std::vector<std::byte> entry;
  std::uint64_t offset = 0;
  while (const auto head = ReadHead(file, offset)) {
    entry.resize(head->entry_bytes);
    if (file.ReadAt(offset + sizeof(*head), entry) != entry.size() ||
        HashFrame(*head, entry) != head->hash) {
      break;
    }
    visit(PlaceOf(*head, offset));
    offset += sizeof(*head) + entry.size();
  }
  if (offset == file.size()) return;
  std::filesystem::resize_file(path, offset, code);
  if (code) Fail("cannot cut {} off at {}: {}", path.string(), offset, code.message());
}

void SpoolReader::List(const FrameVisitor& visit) const {
  std::uint64_t offset = 0;
  while (offset < file_.size()) {
    const auto head = ReadHead(file_, offset);
    if (!head) {
      Fail("{} is damaged at byte {}; remove its folder and convert again", file_.path().string(),
           offset);
    }
    const FramePlace frame = PlaceOf(*head, offset);
    visit(frame);
    offset += frame.bytes;
  }
}

SpoolEntry SpoolReader::Read(const FramePlace& frame, std::vector<std::byte>* buffer) const {
  buffer->resize(frame.bytes);
  FrameHead head;
  const bool complete = file_.ReadAt(frame.offset, *buffer) == buffer->size();
  std::memcpy(&head, buffer->data(), sizeof(head));
  const auto entry = std::span<const std::byte>(*buffer).subspan(sizeof(head));
  flatbuffers::Verifier verifier(Unsigned(entry.data()), entry.size());
  if (!complete || HashFrame(head, entry) != head.hash || !flat::VerifySpoolEntryBuffer(verifier)) {
    Fail("{} is damaged at byte {}; remove its folder and convert again", file_.path().string(),
         frame.offset);
  }
  const flat::SpoolEntry& flat = *flat::GetSpoolEntry(entry.data());
  SpoolEntry result{.class_id = View(flat.class_id()),
                    .origin = View(flat.origin()),
                    .found = View(flat.found()),
                    .done = View(flat.done()),
                    .record = {.label = 0,
                               .width = flat.width(),
                               .height = flat.height(),
                               .subsampling = static_cast<Subsampling>(flat.subsampling()),
                               .repairs = flat.repairs(),
                               .payload_hash = 0,
                               .path = View(flat.path()),
                               .payload = {},
                               .region_index = {}}};
  if (flat.payload() != nullptr) {
    result.record.payload = {reinterpret_cast<const std::byte*>(flat.payload()->data()),
                             flat.payload()->size()};
  }
  if (flat.segment_mcus() != 0 && flat.segment_bytes() != nullptr) {
    result.record.region_index = {
        .segment_mcus = flat.segment_mcus(),
        .segment_bytes = {reinterpret_cast<const std::uint16_t*>(flat.segment_bytes()->data()),
                          flat.segment_bytes()->size()}};
  }
  return result;
}

}  // namespace millrace::storage
