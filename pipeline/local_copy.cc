#include "pipeline/local_copy.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/folder_lock.h"
#include "base/format.h"
#include "storage/shard_copy.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;

// What stays free on the disk, which may have to take checkpoints too. [bytes]
constexpr std::uint64_t kReserveBytes = std::uint64_t{1} << 30;

// How often a run that waits for another one's copies looks for them.
constexpr std::chrono::seconds kLookEvery{1};

// Without links and dots, as far as it exists.
fs::path Resolved(const fs::path& path) {
  // weakly_canonical() leaves a path relative of which nothing exists.
  const fs::path whole = fs::absolute(path);
  std::error_code code;
  const fs::path resolved = fs::weakly_canonical(whole, code);
  return code ? whole : resolved;
}

bool IsInside(const fs::path& path, const fs::path& folder) {
  const auto end = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first;
  return end == folder.end();
}

// Why nothing can be written below `folder`, which need not exist yet; "" when it can.
std::string WhyNotWritable(fs::path folder) {
  std::error_code code;
  while (!fs::exists(folder, code) && folder.has_relative_path()) folder = folder.parent_path();
  if (!fs::is_directory(folder, code)) return fmt::format("{} is not a folder", folder.string());
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return "";
  return fmt::format("{}: {}", folder.string(), std::generic_category().message(errno));
}

// Gives way to whatever else wants a core or the disk.
void LowerPriorityOfThisThread() {
  // A tenth of a core that others keep busy: even then it copies at the rate of a disk.
  constexpr int kNice = 10;
  // ioprio_set(2): this thread, the lowest level of the best-effort class. The idle class would not
  // get on at all beside somebody who always reads.
  constexpr int kOfThread = 1;
  constexpr int kLowestBestEffort = (2 << 13) | 7;
  const auto thread = static_cast<::id_t>(::syscall(SYS_gettid));
  (void)::setpriority(PRIO_PROCESS, thread, kNice);
  (void)::syscall(SYS_ioprio_set, kOfThread, thread, kLowestBestEffort);
}

// Copying must not end the run, and a log that cannot be written ends it from elsewhere.
template <typename... Args>
void Tell(tracking::RunLog& log, fmt::format_string<Args...> format, Args&&... args) {
  try {
    log.Text(format, std::forward<Args>(args)...);
  } catch (const std::exception&) {
  }
}

// The copies of one split's shards in their folder.
class SplitCopy {
 public:
  SplitCopy(fs::path dataset, const fs::path& parent, std::string split,
            const storage::SplitReader& reader, tracking::RunLog& log)
      : dataset_(std::move(dataset)),
        folder_(parent / storage::CopyFolderName(split, reader.split())),
        split_(std::move(split)),
        reader_(reader),
        log_(log) {
    for (std::size_t i = 0; i < reader.split().shards.size(); ++i) missing_.push_back(i);
  }

  // Throws Error when the folder cannot be written.
  void Run(const std::stop_token& stop) {
    CreateFolders(folder_);
    UseWhatIsThere();
    if (!missing_.empty()) {
      const std::unique_ptr<FolderLock> turn = WaitForTurn(stop);
      if (turn != nullptr && !missing_.empty() && HasRoom()) CopyMissing(stop);
    }
    if (missing_.empty()) {
      Tell(log_, "every shard of {} is read from its copy in {}", split_, folder_.string());
    }
  }

 private:
  const std::vector<storage::ShardInfo>& shards() const { return reader_.split().shards; }
  fs::path Path(std::size_t shard) const { return folder_ / shards()[shard].file; }

  std::uint64_t MissingBytes() const {
    std::uint64_t bytes = 0;
    for (const std::size_t shard : missing_) bytes += shards()[shard].bytes;
    return bytes;
  }

  // Has the shard's copy read from now on. Throws Error when it cannot be opened or is damaged.
  void Use(std::size_t shard) {
    reader_.UseCopy(
        shard, Path(shard), [&log = log_, path = Path(shard)](const std::string& fault) {
          // The next run copies it anew.
          std::error_code code;
          fs::remove(path, code);
          Tell(log,
               "the copy {} is damaged and was removed; its shard is read from the dataset: {}",
               path.string(), fault);
        });
  }

  // What cannot be used counts as missing.
  void UseWhatIsThere() {
    std::erase_if(missing_, [&](std::size_t shard) {
      if (!storage::HasCopy(Path(shard), shards()[shard])) return false;
      try {
        Use(shard);
        return true;
      } catch (const Error&) {
        return false;
      }
    });
  }

  // The right to write into the folder; nothing when that is not needed any more. Until then uses
  // what another run copies.
  std::unique_ptr<FolderLock> WaitForTurn(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any changed;
    for (bool told = false; !stop.stop_requested() && !missing_.empty(); told = true) {
      std::unique_ptr<FolderLock> turn = FolderLock::TakeIfFree(folder_);
      UseWhatIsThere();
      if (turn != nullptr) return turn;
      if (!told) {
        Tell(log_, "another run is copying {} to {}; its copies are read as they are complete",
             split_, folder_.string());
      }
      std::unique_lock lock(mutex);
      (void)changed.wait_for(lock, stop, kLookEvery, [] { return false; });
    }
    return nullptr;
  }

  bool HasRoom() const {
    std::error_code code;
    const std::uint64_t free = fs::space(folder_, code).available;
    if (code || free >= MissingBytes() + kReserveBytes) return true;
    Tell(
        log_,
        "nothing is copied to {}: the {} shards of {} missing there take {} and {} must stay free, "
        "but only {} are free; make room or choose another data.local_copy; they are read from {}",
        folder_.string(), missing_.size(), split_, FormatBytes(MissingBytes()),
        FormatBytes(kReserveBytes), FormatBytes(free), dataset_.string());
    return false;
  }

  // Copies the shard and has it read; false when it was stopped or the shard's file is damaged.
  bool Copy(std::size_t shard, const std::stop_token& stop) {
    const storage::ShardInfo& info = shards()[shard];
    if (storage::HasCopy(Path(shard), info)) {
      Tell(log_, "the copy {} cannot be used and is made anew", Path(shard).string());
    }
    const auto done = storage::CopyShard(dataset_ / info.file, info, Path(shard), stop);
    if (!done.ok()) {
      Tell(log_, "a shard is not copied: {}", done.fault().message);
      return false;
    }
    if (*done) Use(shard);
    return *done;
  }

  void CopyMissing(const std::stop_token& stop) {
    Tell(log_, "copying {} of {} shards of {} ({}) to {}", missing_.size(), shards().size(), split_,
         FormatBytes(MissingBytes()), folder_.string());
    const std::int64_t begin_ns = NowNs();
    std::vector<std::size_t> left;
    std::uint64_t bytes = 0;
    for (const std::size_t shard : missing_) {
      if (!stop.stop_requested() && Copy(shard, stop)) {
        bytes += shards()[shard].bytes;
      } else {
        left.push_back(shard);
      }
    }
    const std::size_t copied = missing_.size() - left.size();
    const double seconds = NsToSeconds(NowNs() - begin_ns + 1);
    Tell(log_, "{}copied {} of {} shards of {} ({}) in {}, {}/s",
         stop.stop_requested() ? "stopped: " : "", copied, missing_.size(), split_,
         FormatBytes(bytes), FormatDuration(seconds),
         FormatBytes(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)));
    missing_ = std::move(left);
  }

  const fs::path dataset_;
  const fs::path folder_;
  const std::string split_;
  const storage::SplitReader& reader_;
  tracking::RunLog& log_;
  std::vector<std::size_t> missing_;  // shards that are read from the dataset, in their order
};

}  // namespace

LocalCopy::LocalCopy(const Recipe& recipe, const fs::path& dataset, const LoaderStages& loaders)
    : dataset_(dataset), loaders_(loaders) {
  if (recipe.local_copy.empty()) return;
  const fs::path folder = Resolved(recipe.local_copy);
  const auto blame = [&](const std::string& problem) {
    recipe.params.Section("data").Blame(
        "local_copy", fmt::format("is \"{}\"; {}; choose a folder on a disk of this machine",
                                  recipe.local_copy, problem));
  };
  if (IsInside(folder, Resolved(dataset))) {
    blame(fmt::format("that is inside the dataset {}", dataset.string()));
  }
  if (const std::string problem = WhyNotWritable(folder); !problem.empty()) {
    blame("nothing can be written there (" + problem + ")");
  }
  folder_ = recipe.local_copy;
}

void LocalCopy::Start(tracking::RunLog& log) {
  if (folder_.empty()) return;
  thread_ = std::jthread([this, &log](const std::stop_token& stop) {
    LowerPriorityOfThisThread();
    try {
      for (const OpenSplit& split : loaders_.splits()) {
        if (stop.stop_requested()) return;
        SplitCopy(dataset_, folder_, split.name, split.reader, log).Run(stop);
      }
    } catch (const std::exception& error) {
      Tell(log, "copying to {} ends, and what is missing is read from {}: {}", folder_.string(),
           dataset_.string(), error.what());
    }
  });
}

void LocalCopy::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace millrace::pipeline
