#include "storage/sources/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/format.h"
#include "storage/record.h"

namespace millrace::storage {
namespace {

// Headers lie far apart: small reads, so that what is jumped over is not read. A compressed file is
// read from end to end.
constexpr std::size_t kHeaderRead = 4096;
constexpr std::size_t kStreamRead = std::size_t{256} << 10;
constexpr std::size_t kBlock = 512;
constexpr const char* kAdvice = "copy or download the archive again and compare the checksums";

struct ArchiveDeleter {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

bool IsGzip(const InputFile& file) {
  std::array<std::byte, 2> begin{};
  return file.ReadAt(0, begin) == 2 && begin[0] == std::byte{0x1F} && begin[1] == std::byte{0x8B};
}

// Why a member is not a plain file; empty when it is one.
std::string_view OddityOf(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return "a hard link";
  if (archive_entry_filetype(entry) == AE_IFLNK) return "a symbolic link";
  if (archive_entry_filetype(entry) != AE_IFREG) return "a device or pipe";
  // Stored in pieces, so its content is not what lies at its offset.
  if (archive_entry_sparse_count(entry) > 0) return "a sparse file";
  return {};
}

}  // namespace

struct TarReader::State {
  std::shared_ptr<const InputFile> file;
  std::uint64_t begin = 0;  // of the tar in the file
  std::uint64_t end = 0;
  std::uint64_t at = 0;  // what libarchive gets next
  std::string name;
  bool compressed = false;
  std::vector<std::byte> buffer;
  std::string read_error;  // why the file could not be read, when that is what failed
  TarMember member;        // the last one given out
  bool any = false;        // whether there was one
  bool ended = false;
  std::unique_ptr<archive, ArchiveDeleter> handle;

  void Open() {
    at = begin;
    buffer.resize(compressed ? kStreamRead : kHeaderRead);
    handle.reset(archive_read_new());
    if (!handle) Fail("{}: not enough memory to read it", name);
    archive_read_support_format_tar(handle.get());
    if (compressed) archive_read_support_filter_gzip(handle.get());
    archive_read_set_options(handle.get(), "tar:read_concatenated_archives");
    archive_read_set_callback_data(handle.get(), this);
    archive_read_set_read_callback(handle.get(), &State::OnRead);
    if (!compressed) archive_read_set_skip_callback(handle.get(), &State::OnSkip);
    if (archive_read_open1(handle.get()) != ARCHIVE_OK) FailUnreadable();
  }

  // libarchive is C: no exception may pass through it.
  static la_ssize_t OnRead(archive* handle, void* self, const void** bytes) {
    auto& state = *static_cast<State*>(self);
    try {
      const std::size_t wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(state.buffer.size(), state.end - state.at));
      const std::size_t count = state.file->ReadAt(state.at, std::span(state.buffer).first(wanted));
      state.at += count;
      *bytes = state.buffer.data();
      return static_cast<la_ssize_t>(count);
    } catch (const Error& error) {
      state.read_error = error.what();
      archive_set_error(handle, EIO, "cannot be read");
      return ARCHIVE_FATAL;
    }
  }

  static la_int64_t OnSkip(archive*, void* self, la_int64_t count) {
    auto& state = *static_cast<State*>(self);
    const auto skipped = std::min(static_cast<std::uint64_t>(count), state.end - state.at);
    state.at += skipped;
    return static_cast<la_int64_t>(skipped);
  }

  [[noreturn]] void FailUnreadable() const {
    if (!read_error.empty()) throw Error(read_error);
    const char* text = archive_error_string(handle.get());
    const std::string reason = text == nullptr ? "for no known reason" : text;
    if (any) {
      Fail("{} is damaged at or after {} ({}); {}", name, member.name, reason, kAdvice);
    }
    if (compressed) Fail("{} holds no tar archive or is damaged ({}); {}", name, reason, kAdvice);
    Fail("{} is not a tar archive, or is compressed in another way than gzip", name);
  }

  void CheckEndMark() const {
    std::array<std::byte, kBlock> block{};
    const bool marked = end - begin >= kBlock && file->ReadAt(end - kBlock, block) == kBlock &&
                        std::all_of(block.begin(), block.end(),
                                    [](std::byte byte) { return byte == std::byte{0}; });
    if (!marked) {
      Fail(
          "{} ends{} without the end mark of a tar, so it is probably cut off; {} (if it is known "
          "to be whole, `head -c 1024 /dev/zero >> FILE` adds the mark)",
          name, any ? " after " + member.name : "", kAdvice);
    }
  }

  std::uint64_t Consumed() const {
    return static_cast<std::uint64_t>(archive_filter_bytes(handle.get(), compressed ? -1 : 0));
  }

  std::vector<std::byte> ReadPlain() const {
    std::vector<std::byte> content(member.bytes);
    if (file->ReadAt(member.offset, content) != content.size()) {
      Fail("{} was cut short while it was read, in {}", name, member.name);
    }
    return content;
  }

  // Takes what is there, block by block, so that memory follows that and not what is claimed.
  std::vector<std::byte> ReadStream() const {
    std::vector<std::byte> content;
    for (;;) {
      const void* block = nullptr;
      std::size_t count = 0;
      la_int64_t offset = 0;
      const int code = archive_read_data_block(handle.get(), &block, &count, &offset);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) FailUnreadable();
      if (count == 0) continue;
      if (static_cast<std::uint64_t>(offset) != content.size() ||
          count > member.bytes - content.size()) {
        FailLength();
      }
      const auto* bytes = static_cast<const std::byte*>(block);
      content.insert(content.end(), bytes, bytes + count);
    }
    if (content.size() != member.bytes) FailLength();
    return content;
  }

  [[noreturn]] void FailLength() const {
    Fail("{} is damaged in {}, whose content is not the {} that its header says; {}", name,
         member.name, FormatBytes(member.bytes), kAdvice);
  }
};

TarReader::TarReader(std::shared_ptr<const InputFile> file) : state_(std::make_unique<State>()) {
  state_->end = file->size();
  state_->name = file->path().string();
  state_->compressed = IsGzip(*file);
  state_->file = std::move(file);
  state_->Open();
}

TarReader::TarReader(std::shared_ptr<const InputFile> file, std::uint64_t offset,
                     std::uint64_t bytes, std::string name)
    : state_(std::make_unique<State>()) {
  MILLRACE_CHECK(offset <= file->size() && bytes <= file->size() - offset);
  state_->begin = offset;
  state_->end = offset + bytes;
  state_->name = std::move(name);
  state_->file = std::move(file);
  state_->Open();
}

TarReader::~TarReader() = default;
TarReader::TarReader(TarReader&&) noexcept = default;
TarReader& TarReader::operator=(TarReader&&) noexcept = default;

std::optional<TarMember> TarReader::Next() {
  State& state = *state_;
  archive* handle = state.handle.get();
  while (!state.ended) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(handle, &entry);
    if (code == ARCHIVE_EOF) {
      if (!state.compressed) state.CheckEndMark();
      state.ended = true;
      break;
    }
    // A warning is about a name in an unusual encoding, which comes as its bytes, or an attribute.
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) state.FailUnreadable();
    const char* name = archive_entry_pathname(entry);
    state.any = true;
    state.member = {.name = name == nullptr ? "" : name, .bytes = 0, .offset = 0, .oddity = {}};
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    TarMember& member = state.member;
    member.oddity = OddityOf(entry);
    member.bytes = static_cast<std::uint64_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));
    if (state.compressed) return member;
    member.offset = state.begin + state.Consumed();
    if (member.oddity.empty() && member.bytes > state.end - std::min(state.end, member.offset)) {
      Fail("{} is cut off in {}, of whose {} only {} are there; {}", state.name, member.name,
           FormatBytes(member.bytes), FormatBytes(state.end - std::min(state.end, member.offset)),
           kAdvice);
    }
    return member;
  }
  return std::nullopt;
}

std::vector<std::byte> TarReader::Read() {
  MILLRACE_CHECK(state_->member.oddity.empty() && state_->member.bytes <= kMaxPayloadBytes);
  return state_->compressed ? state_->ReadStream() : state_->ReadPlain();
}

std::uint64_t TarReader::position() const { return state_->begin + state_->Consumed(); }

bool TarReader::compressed() const { return state_->compressed; }
const std::string& TarReader::name() const { return state_->name; }

}  // namespace millrace::storage
