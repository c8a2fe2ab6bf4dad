#include "tracking/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "tracking/record_file.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".log";
constexpr std::size_t kNumberBytes = 8;

std::string EncodeNumber(std::uint64_t number) {
  std::string bytes;
  for (std::size_t i = 0; i < kNumberBytes; ++i) {
    bytes.push_back(static_cast<char>(number >> 8 * i & 0xff));
  }
  return bytes;
}

// Nothing when the record is none of a journal's.
std::optional<Journal::Entry> DecodeEntry(std::string_view record) {
  if (record.size() < kNumberBytes) return std::nullopt;
  Journal::Entry entry;
  for (std::size_t i = kNumberBytes; i-- > 0;) {
    entry.number = entry.number << 8 | static_cast<unsigned char>(record[i]);
  }
  entry.bytes = record.substr(kNumberBytes);
  return entry;
}

}  // namespace

Journal::Journal(fs::path folder, const Limits& limits,
                 const std::function<void(const Entry&)>& on_waiting)
    : folder_(std::move(folder)), limits_(limits) {
  CreateFolders(folder_);
  ReadAcknowledged();
  last_ = acknowledged_;
  read_ = acknowledged_;
  std::vector<fs::path> paths;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder_, code)) {
    if (entry.path().extension() == kSuffix) paths.push_back(entry.path());
  }
  if (code) Fail("cannot list {}: {}", folder_.string(), code.message());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) OpenSegment(path, on_waiting);
  DropDelivered();
}

void Journal::ReadAcknowledged() {
  const fs::path path = folder_ / "acknowledged";
  std::error_code code;
  if (!fs::exists(path, code)) return;
  const std::string text = ReadFile(path);
  const std::size_t line = text.find('\n');
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + std::min(line, text.size()), acknowledged_);
  if (line == std::string::npos || error != std::errc() || end != text.data() + line) {
    Fail("{} is damaged; remove the folder {} to give up what waits there", path.string(),
         folder_.string());
  }
  note_ = text.substr(line + 1);
}

void Journal::OpenSegment(const fs::path& path,
                          const std::function<void(const Entry&)>& on_waiting) {
  Segment segment{.path = path};
  bool whole = false;
  {
    const std::string bytes = ReadFile(path);
    RecordReader reader(bytes);
    while (const auto record = reader.Next()) {
      const auto entry = DecodeEntry(*record);
      // Numbers only rise; anything else was not written here.
      if (!entry || entry->number <= segment.last) break;
      segment.last = entry->number;
      segment.bytes = reader.position();
      if (entry->number <= last_) continue;
      missing_ += entry->number - last_ - 1;
      last_ = entry->number;
      ++waiting_;
      on_waiting(*entry);
    }
    whole = segment.bytes == bytes.size();
  }
  std::error_code code;
  if (segment.last == 0) {
    fs::remove(path, code);
  } else if (!whole) {
    fs::resize_file(path, segment.bytes, code);
  }
  if (code) Fail("cannot cut {}: {}", path.string(), code.message());
  if (segment.last == 0) return;
  bytes_ += segment.bytes;
  segments_.push_back(std::move(segment));
}

void Journal::StartSegment() {
  const fs::path path = folder_ / fmt::format("{:020}{}", last_ + 1, kSuffix);
  file_ = std::make_unique<AppendFile>(path);
  segments_.push_back({.path = path});
}

bool Journal::Append(std::string_view bytes, double share) {
  std::string record;
  const std::lock_guard lock(mutex_);
  AppendRecord(EncodeNumber(last_ + 1).append(bytes), &record);
  if (static_cast<double>(bytes_ + record.size()) > share * static_cast<double>(limits_.bytes)) {
    return false;
  }
  if (file_ == nullptr || file_->size() >= limits_.segment_bytes) StartSegment();
  Segment& segment = segments_.back();
  try {
    file_->Append(record);
  } catch (const Error&) {
    // Nothing can be found behind half a record.
    file_.reset();
    std::error_code ignored;
    fs::resize_file(segment.path, segment.bytes, ignored);
    if (segment.last == 0) {
      fs::remove(segment.path, ignored);
      segments_.pop_back();
    }
    throw;
  }
  segment.last = ++last_;
  segment.bytes += record.size();
  bytes_ += record.size();
  ++waiting_;
  return true;
}

std::vector<Journal::Entry> Journal::Read(std::size_t entries, std::size_t bytes) {
  std::vector<Entry> found;
  std::size_t found_bytes = 0;
  const std::lock_guard lock(mutex_);
  while (found.size() < entries && read_ < last_) {
    RecordReader reader(std::string_view(reading_).substr(position_));
    const auto record = reader.Next();
    if (!record) {
      // The segment that holds the next entry, or what has come to it.
      const auto next = std::find_if(segments_.begin(), segments_.end(),
                                     [this](const Segment& s) { return s.last > read_; });
      if (next == segments_.end() || next->last == reading_last_) {
        Fail("{} is damaged: entry {} cannot be read", folder_.string(), read_ + 1);
      }
      reading_ = ReadFile(next->path);
      reading_last_ = next->last;
      position_ = 0;
      continue;
    }
    auto entry = DecodeEntry(*record);
    if (entry && entry->number > read_) {
      if (!found.empty() && found_bytes + entry->bytes.size() > bytes) break;
      found_bytes += entry->bytes.size();
      read_ = entry->number;
      delivering_.push_back(read_);
      found.push_back(std::move(*entry));
    }
    position_ += reader.position();
  }
  if (read_ == last_) {
    reading_.clear();
    reading_.shrink_to_fit();
    reading_last_ = 0;
    position_ = 0;
  }
  return found;
}

void Journal::Acknowledge(std::uint64_t number, std::string_view note) {
  // Outside the lock: whoever appends does not wait for the disk.
  WriteFileAtomically(folder_ / "acknowledged", fmt::format("{}\n{}", number, note));
  const std::lock_guard lock(mutex_);
  while (!delivering_.empty() && delivering_.front() <= number) {
    delivering_.pop_front();
    --waiting_;
  }
  acknowledged_ = number;
  DropDelivered();
}

void Journal::DropDelivered() {
  // The one that is appended to stays, unless it is full.
  while (!segments_.empty() && segments_.front().last != 0 &&
         segments_.front().last <= acknowledged_) {
    const Segment& segment = segments_.front();
    if (segments_.size() == 1) {
      if (file_ != nullptr && segment.bytes < limits_.segment_bytes) return;
      file_.reset();
    }
    std::error_code ignored;  // an entry that is found again is known to be delivered
    fs::remove(segment.path, ignored);
    bytes_ -= segment.bytes;
    segments_.erase(segments_.begin());
  }
}

std::uint64_t Journal::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace millrace::tracking
