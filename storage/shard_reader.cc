#include "storage/shard_reader.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
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

std::uintptr_t SystemPageBytes() { return static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE)); }

// Where the map begins, which LMDB does not tell: its pages hold their numbers. `inside` points
// into one that is no continuation of another. 0: a file with pages larger than this system's,
// which may begin anywhere in the map.
std::uintptr_t MapBegin(const void* inside, std::uintptr_t page_bytes) {
  if (page_bytes > SystemPageBytes()) return 0;
  const std::uintptr_t page = reinterpret_cast<std::uintptr_t>(inside) & ~(page_bytes - 1);
  std::uint64_t number = 0;
  std::memcpy(&number, reinterpret_cast<const void*>(page), sizeof(number));
  return page - number * page_bytes;
}

// Records that are neighbours, but apart from each other by more than they are large themselves,
// are not worth being read in one. [share of the records' bytes]
constexpr std::uint64_t kMostBetween = 1;

}  // namespace

struct ShardReader::State {
  std::string name;
  MDB_env* env = nullptr;
  int descriptor = -1;                              // LMDB's
  std::uintptr_t map_begin = 0;                     // 0: not known
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
  MDB_stat stat{};
  check(mdb_stat(transaction, database, &stat));
  check(mdb_env_get_fd(state.env, &state.descriptor));
  MDB_cursor* cursor = nullptr;
  check(mdb_cursor_open(transaction, database, &cursor));
  const std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> cursor_guard(cursor,
                                                                              mdb_cursor_close);
  MDB_val key{};
  MDB_val value{};
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; code == 0; code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    if (state.records.empty()) state.map_begin = MapBegin(key.mv_data, stat.ms_psize);
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

std::optional<PageRange> ShardReader::Pages(std::uint64_t key, std::uint64_t count) const {
  MILLRACE_CHECK(count > 0 && key + count <= size());
  if (state_->map_begin == 0) return {};
  std::uintptr_t begin = ~std::uintptr_t{0};
  std::uintptr_t end = 0;
  std::size_t bytes = 0;
  for (std::uint64_t at = key; at < key + count; ++at) {
    const std::span<const std::byte> record = state_->records[at];
    const auto address = reinterpret_cast<std::uintptr_t>(record.data());
    begin = std::min(begin, address);
    end = std::max(end, address + record.size());
    bytes += record.size();
  }
  const std::uintptr_t page_bytes = SystemPageBytes();
  begin &= ~(page_bytes - 1);
  end = (end + page_bytes - 1) & ~(page_bytes - 1);
  if (end - begin > (1 + kMostBetween) * bytes + count * page_bytes) return {};
  return PageRange{.offset = begin - state_->map_begin, .bytes = end - begin};
}

std::uint64_t ShardReader::Offset(std::uint64_t key) const {
  return reinterpret_cast<std::uintptr_t>(Bytes(key).data()) - state_->map_begin;
}

bool ShardReader::ReadDirect(PageRange pages, std::span<std::byte> memory) const {
  MILLRACE_CHECK(pages.bytes <= memory.size());
  // The same file under its second name, whatever lies under the first one by now.
  const std::string open_file = fmt::format("/proc/self/fd/{}", state_->descriptor);
  const int descriptor = ::open(open_file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (descriptor < 0) return false;
  std::size_t done = 0;
  while (done < pages.bytes) {
    const ::ssize_t read = ::pread(descriptor, memory.data() + done, pages.bytes - done,
                                   static_cast<::off_t>(pages.offset + done));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) break;
    done += static_cast<std::size_t>(read);
  }
  ::close(descriptor);
  return done == pages.bytes;
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
