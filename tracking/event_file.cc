#include "tracking/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "tracking/record_file.h"
#include "tracking/tensorboard.pb.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;

// What TensorBoard knows such files by.
constexpr std::string_view kPrefix = "events.out.tfevents.";
constexpr std::size_t kSecondsDigits = 10;
constexpr std::string_view kFileVersion = "brain.Event:2";

double WallTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The time in the file's name [s]; 0 where there is none.
std::int64_t SecondsOf(const fs::path& path) {
  const std::string digits = path.filename().string().substr(kPrefix.size(), kSecondsDigits);
  if (digits.size() != kSecondsDigits || !std::all_of(digits.begin(), digits.end(), [](char c) {
        return std::isdigit(static_cast<unsigned char>(c)) != 0;
      })) {
    return 0;
  }
  return std::stoll(digits);
}

// In the order in which they are read.
std::vector<fs::path> EventFiles(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.path().filename().string().starts_with(kPrefix)) paths.push_back(entry.path());
  }
  if (code) Fail("cannot list {}: {}", folder.string(), code.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

struct Kept {
  bool ours = false;
  std::size_t events = 0;  // beside the first one, which only says what the file is
  std::size_t bytes = 0;
  bool whole = false;  // all of the file
};

Kept FindKept(const fs::path& path, std::string_view writer, std::uint64_t keep_position) {
  const MappedFile file(path);
  RecordReader reader({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  Kept kept;
  tensorboard::Event event;
  while (const auto record = reader.Next()) {
    const bool parsed = event.ParseFromArray(record->data(), static_cast<int>(record->size()));
    if (!kept.ours) {
      kept.ours = parsed && event.source_metadata().writer() == writer;
      if (!kept.ours) return kept;
    } else if (!parsed || event.position() > keep_position) {
      return kept;
    } else {
      ++kept.events;
    }
    kept.bytes = reader.position();
  }
  kept.whole = reader.whole();
  return kept;
}

void Cut(const fs::path& path, std::string_view writer, std::uint64_t keep_position) {
  const Kept kept = FindKept(path, writer, keep_position);
  if (!kept.ours || (kept.whole && kept.events > 0)) return;
  std::error_code code;
  if (kept.events == 0) {
    fs::remove(path, code);
  } else {
    fs::resize_file(path, kept.bytes, code);
  }
  if (code) Fail("cannot cut {}: {}", path.string(), code.message());
}

}  // namespace

EventFile::EventFile(const fs::path& folder, std::string_view writer, std::uint64_t keep_position) {
  auto seconds = static_cast<std::int64_t>(WallTime());
  for (const fs::path& path : EventFiles(folder)) {
    seconds = std::max(seconds, SecondsOf(path) + 1);
    Cut(path, writer, keep_position);
  }
  file_ =
      std::make_unique<AppendFile>(folder / fmt::format("{}{:0{}}.{}.{}", kPrefix, seconds,
                                                        kSecondsDigits, HostName(), ::getpid()));
  tensorboard::Event event;
  event.set_file_version(std::string(kFileVersion));
  event.mutable_source_metadata()->set_writer(std::string(writer));
  Write(event);
}

void EventFile::Write(tensorboard::Event& event) {
  event.set_wall_time(WallTime());
  std::string record;
  AppendRecord(event.SerializeAsString(), &record);
  file_->Append(record);
}

}  // namespace millrace::tracking
