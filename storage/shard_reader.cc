#include "storage/shard_reader.h"

#include <lmdb.h>
#include <sys/mman.h>

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "storage/lmdb_structure.h"
#include "storage/record.h"

namespace millrace::storage {
namespace {

// Throws when the file's structure cannot be trusted; returns its number of records.
std::uint64_t CheckStructure(const std::filesystem::path& path) {
  const MappedFile file(path);
  // Index pages lie scattered between the records; reading around them would read it all.
  if (!file.bytes().empty()) {
    ::madvise(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), MADV_RANDOM);
  }
  const auto records = CheckLmdbStructure(file.bytes());
  if (!records.ok()) {
    Fail("{} cannot be read: {}; restore the file or convert again", path.string(),
         records.fault().message);
  }
  return *records;
}

}  // namespace

struct ShardReader::State {
  std::string name;
  MDB_env* env = nullptr;
  std::vector<std::span<const std::byte>> records;  // by key

  ~State() {
    if (env != nullptr) mdb_env_close(env);
  }
};

ShardReader::ShardReader(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  const auto check = [&](int code) {
    if (code != 0) Fail("cannot open {}: {}", path.string(), mdb_strerror(code));
  };
  State& state = *state_;
  state.name = path.filename().string();
  state.records.reserve(CheckStructure(path));

  check(mdb_env_create(&state.env));
  // One byte is raised by LMDB to the file's used size; the size noted in the file is not trusted.
  check(mdb_env_set_mapsize(state.env, 1));
  check(mdb_env_open(state.env, path.c_str(),
                     MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOTLS | MDB_NOSUBDIR, 0));
  MDB_txn* transaction = nullptr;
  check(mdb_txn_begin(state.env, nullptr, MDB_RDONLY, &transaction));
  // Nobody writes, so the map stays as it is when the transaction that found the records ends.
  const std::unique_ptr<MDB_txn, decltype(&mdb_txn_abort)> guard(transaction, mdb_txn_abort);
  MDB_dbi database = 0;
  check(mdb_dbi_open(transaction, nullptr, 0, &database));
  MDB_cursor* cursor = nullptr;
  check(mdb_cursor_open(transaction, database, &cursor));
  const std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> cursor_guard(cursor,
                                                                              mdb_cursor_close);
  MDB_val key{};
  MDB_val value{};
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; code == 0; code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    state.records.emplace_back(static_cast<const std::byte*>(value.mv_data), value.mv_size);
  }
  if (code != MDB_NOTFOUND) check(code);
}

ShardReader::~ShardReader() = default;
ShardReader::ShardReader(ShardReader&&) noexcept = default;
ShardReader& ShardReader::operator=(ShardReader&&) noexcept = default;

std::uint64_t ShardReader::size() const { return state_->records.size(); }

std::span<const std::byte> ShardReader::Bytes(std::uint64_t key) const {
  MILLRACE_CHECK(key < size());
  return state_->records[key];
}

Result<RecordView> ShardReader::Peek(std::uint64_t key) const {
  auto record = ParseRecord(Bytes(key));
  if (record.ok()) return record;
  return MakeFault("{}: {}", Where(key), record.fault().message);
}

Result<RecordView> ShardReader::Read(std::uint64_t key) const {
  auto record = Peek(key);
  if (!record.ok()) return record;
  if (const auto payload = CheckPayload(*record); !payload.ok()) {
    return MakeFault("{}: {}", Where(key), payload.fault().message);
  }
  return record;
}

std::string ShardReader::Where(std::uint64_t key) const {
  return fmt::format("{}, key {}", state_->name, key);
}

}  // namespace millrace::storage
