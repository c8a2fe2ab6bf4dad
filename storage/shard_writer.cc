#include "storage/shard_writer.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "storage/sources/input_file.h"

namespace millrace::storage {
namespace {

// Records are committed in batches of so many bytes; LMDB keeps an open batch in memory.
constexpr std::size_t kBatchBytes = std::size_t{16} << 20;
// What a batch needs beyond its records: branch and leaf pages, LMDB's list of free pages.
constexpr std::size_t kBatchSlackBytes = std::size_t{16} << 20;
constexpr ::mode_t kFileMode = 0666;

// Has the disk write what goes into a file while it goes there, so that syncing it at the end need
// not wait for all of it.
class WriteBehind {
 public:
  explicit WriteBehind(int descriptor)
      : thread_([this, descriptor](const std::stop_token& stop) {
          using namespace std::chrono_literals;
          std::unique_lock lock(mutex_);
          while (!stop.stop_requested()) {
            // Only a beginning: what it fails at, the sync will tell.
            ::sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
            stopped_.wait_for(lock, stop, 20ms, [] { return false; });
          }
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread thread_;  // stops at its end
};

}  // namespace

struct ShardWriter::State {
  std::filesystem::path path;
  std::filesystem::path build_path;
  MDB_env* env = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;
  std::size_t batch_bytes = 0;  // in the open transaction
  std::uint64_t records = 0;

  ~State() { Discard(); }

  void Discard() {
    if (transaction != nullptr) mdb_txn_abort(std::exchange(transaction, nullptr));
    if (env != nullptr) mdb_env_close(std::exchange(env, nullptr));
    ::unlink(build_path.c_str());
  }

  void Check(int code, const char* what) const {
    if (code == 0) return;
    // LMDB reports a write that the disk took only half of as EIO.
    Fail("cannot {} {}: {}{}", what, path.string(), mdb_strerror(code),
         code == EIO ? " (is the disk full?)" : "");
  }

  // Bytes in use so far, free pages included.
  std::size_t UsedBytes() const {
    MDB_envinfo info{};
    MDB_stat stat{};
    Check(mdb_env_info(env, &info), "write");
    Check(mdb_env_stat(env, &stat), "write");
    return (info.me_last_pgno + 1) * stat.ms_psize;
  }

  // Opens a batch with room for one record of `bytes` at least.
  void Begin(std::size_t bytes) {
    const std::size_t room = std::max(kBatchBytes, bytes + bytes / 8) + kBatchSlackBytes;
    Check(mdb_env_set_mapsize(env, UsedBytes() + room), "write");
    Check(mdb_txn_begin(env, nullptr, 0, &transaction), "write");
    Check(mdb_dbi_open(transaction, nullptr, 0, &database), "write");
    batch_bytes = 0;
  }

  void Commit() {
    if (transaction != nullptr) Check(mdb_txn_commit(std::exchange(transaction, nullptr)), "write");
  }
};

ShardWriter::ShardWriter(std::filesystem::path path) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.path = std::move(path);
  state.build_path = state.path.string() + ".build.tmp";
  ::unlink(state.build_path.c_str());
  state.Check(mdb_env_create(&state.env), "create");
  // Nothing here needs to survive a crash: only the compacted copy is synced and renamed.
  state.Check(mdb_env_open(state.env, state.build_path.c_str(),
                           MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, kFileMode),
              "create");
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::Append(std::span<const std::byte> record) {
  State& state = *state_;
  if (state.transaction != nullptr && state.batch_bytes + record.size() > kBatchBytes) {
    state.Commit();
  }
  if (state.transaction == nullptr) state.Begin(record.size());
  std::array<std::byte, 8> key_bytes;
  for (std::size_t i = 0; i < key_bytes.size(); ++i) {
    key_bytes[i] = static_cast<std::byte>(state.records >> (8 * (7 - i)));
  }
  MDB_val key{key_bytes.size(), key_bytes.data()};
  MDB_val value{record.size(), const_cast<std::byte*>(record.data())};
  state.Check(mdb_put(state.transaction, state.database, &key, &value, MDB_APPEND), "write");
  state.batch_bytes += record.size();
  ++state.records;
}

ShardFacts ShardWriter::Finish() {
  State& state = *state_;
  MILLRACE_CHECK(state.env != nullptr);
  state.Commit();
  // The map size is written into the copy's meta pages: let the records alone decide it.
  state.Check(mdb_env_set_mapsize(state.env, state.UsedBytes()), "write");
  AtomicFile file(state.path);
  {
    const WriteBehind write_behind(file.descriptor());
    state.Check(mdb_env_copyfd2(state.env, file.descriptor(), MDB_CP_COMPACT), "write");
  }
  state.Discard();
  file.Commit();

  const InputFile written(state.path);
  Hasher hasher;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < written.size(); at += piece.size()) {
    hasher.Add(std::span(piece).first(written.ReadAt(at, piece)));
  }
  return {.records = state.records, .bytes = written.size(), .hash = hasher.Digest()};
}

}  // namespace millrace::storage
