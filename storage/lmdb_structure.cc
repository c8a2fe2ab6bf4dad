#include "storage/lmdb_structure.h"

#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/lmdb_layout.h"

namespace millrace::storage {
namespace {

constexpr std::uint64_t kMaxDepth = 16;  // LMDB's cursors hold 32 levels
// mdb.c's bounds: MDB_MINKEYS nodes fit a page of 512 bytes, offsets have 16 bits.
constexpr std::uint32_t kMinPageBytes = 512;
constexpr std::uint32_t kMaxPageBytes = 1 << 15;

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

struct Meta {
  std::uint32_t page_bytes;
  lmdb::Tree free_pages;
  lmdb::Tree records;
  std::uint64_t last_page;
  std::uint64_t transaction;
};

class Walker {
 public:
  explicit Walker(std::span<const std::byte> file) : file_(file) {}

  Result<std::uint64_t> Check() {
    if (!ReadMetas() || !CheckRecords()) return Fault{std::move(problem_)};
    return next_record_;
  }

 private:
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  bool RefusePage(std::uint64_t page, const char* what) {
    return Refuse(fmt::format("its structure is damaged (page {}: {})", page, what));
  }

  const std::byte* Page(std::uint64_t page) const { return file_.data() + page * meta_.page_bytes; }

  std::optional<Meta> ReadMeta(std::uint64_t page, std::size_t offset) {
    if (offset + lmdb::kPageHeaderBytes + lmdb::kMetaBytes > file_.size()) {
      Refuse(fmt::format("it is cut off ({} bytes are too few for a shard)", file_.size()));
      return {};
    }
    const std::byte* header = file_.data() + offset;
    const std::byte* at = header + lmdb::kPageHeaderBytes;
    if (Load<std::uint32_t>(at) != lmdb::kMagic || Load<std::uint64_t>(header) != page ||
        Load<std::uint16_t>(header + lmdb::kPageKindAt) != lmdb::kMetaPage) {
      Refuse(page == 0 ? "it is not an LMDB file or its first page is damaged"
                       : "its structure is damaged (page 1: not a meta page)");
      return {};
    }
    if (const auto version = Load<std::uint32_t>(at + lmdb::kMetaVersionAt);
        version != lmdb::kDataVersion) {
      Refuse(fmt::format("it has LMDB data format {}; this program reads format {}", version,
                         lmdb::kDataVersion));
      return {};
    }
    const auto free_pages = Load<lmdb::Tree>(at + lmdb::kMetaFreePagesAt);
    return Meta{.page_bytes = free_pages.page_bytes,
                .free_pages = free_pages,
                .records = Load<lmdb::Tree>(at + lmdb::kMetaRecordsAt),
                .last_page = Load<std::uint64_t>(at + lmdb::kMetaLastPageAt),
                .transaction = Load<std::uint64_t>(at + lmdb::kMetaTransactionAt)};
  }

  // Reads both meta pages. LMDB follows the one with the later transaction.
  bool ReadMetas() {
    const auto first = ReadMeta(0, 0);
    if (!first) return false;
    if (!std::has_single_bit(first->page_bytes) || first->page_bytes < kMinPageBytes ||
        first->page_bytes > kMaxPageBytes) {
      return RefusePage(0, "impossible page size");
    }
    const auto second = ReadMeta(1, first->page_bytes);
    if (!second) return false;
    if (second->page_bytes != first->page_bytes) {
      return RefusePage(1, "another page size than page 0");
    }
    // Compacting leaves an empty first state and, unless there are no records, the real one second.
    meta_ = *second;
    if (first->transaction != 0 ||
        second->transaction != (second->records.root == lmdb::kNoPage ? 0u : 1u)) {
      return RefusePage(1, "not the states that a finished shard has");
    }
    if (first->free_pages.flags != lmdb::kMetaFlags ||
        second->free_pages.flags != lmdb::kMetaFlags) {
      return RefusePage(0, "unknown flags");
    }
    const std::uint64_t pages_in_file = file_.size() / meta_.page_bytes;
    for (const Meta& meta : {*first, *second}) {
      if (meta.last_page < 1 || meta.last_page >= pages_in_file) {
        return Refuse(fmt::format("it is cut off or damaged (it has {} pages and counts {})",
                                  pages_in_file, meta.last_page + 1));
      }
    }
    if (meta_.free_pages.root != lmdb::kNoPage || meta_.free_pages.entries != 0) {
      return RefusePage(1, "a list of free pages, which a finished shard does not have");
    }
    if (meta_.records.flags != 0) return RefusePage(1, "unknown flags of the database");
    visited_.assign(meta_.last_page + 1, false);
    visited_[0] = visited_[1] = true;
    return true;
  }

  bool CheckRecords() {
    const lmdb::Tree& tree = meta_.records;
    if (tree.root == lmdb::kNoPage) {
      return (tree.entries == 0 && tree.depth == 0) || RefusePage(1, "records without a root page");
    }
    if (tree.depth < 1 || tree.depth > kMaxDepth) return RefusePage(1, "impossible depth");
    if (!CheckPage(tree.root, tree.depth)) return false;
    if (next_record_ != tree.entries || branch_pages_ != tree.branch_pages ||
        leaf_pages_ != tree.leaf_pages || overflow_pages_ != tree.overflow_pages) {
      return RefusePage(1, "other counts than the pages hold");
    }
    return true;
  }

  // Marks a run of pages as used; false when one lies outside the file or has been used before.
  bool Claim(std::uint64_t page, std::uint64_t count) {
    if (page > meta_.last_page || count > meta_.last_page + 1 - page) return false;
    for (std::uint64_t i = page; i < page + count; ++i) {
      if (visited_[i]) return false;
      visited_[i] = true;
    }
    return true;
  }

  // The key that the next record must have.
  bool IsNextKey(const std::byte* key) const {
    std::uint64_t index = 0;
    for (std::size_t i = 0; i < lmdb::kKeyBytes; ++i) {
      index = index << 8 | std::to_integer<std::uint64_t>(key[i]);
    }
    return index == next_record_;
  }

  // Recursion is bounded by kMaxDepth.
  bool CheckPage(std::uint64_t number, std::uint64_t levels) {
    if (!Claim(number, 1)) return RefusePage(number, "outside the file or used twice");
    const std::byte* page = Page(number);
    const auto pad = Load<std::uint16_t>(page + 8);
    const auto flags = Load<std::uint16_t>(page + lmdb::kPageKindAt);
    const std::size_t lower = Load<std::uint16_t>(page + lmdb::kPageLowerAt);
    const std::size_t upper = Load<std::uint16_t>(page + lmdb::kPageUpperAt);
    const bool is_leaf = levels == 1;
    if (Load<std::uint64_t>(page) != number || pad != 0 ||
        flags != (is_leaf ? lmdb::kLeafPage : lmdb::kBranchPage)) {
      return RefusePage(number, "not the kind of page that belongs here");
    }
    if (lower < lmdb::kPageHeaderBytes || lower % 2 != 0 || lower > upper ||
        upper > meta_.page_bytes) {
      return RefusePage(number, "impossible bounds");
    }
    const std::size_t num_nodes = (lower - lmdb::kPageHeaderBytes) / lmdb::kPointerBytes;
    // LMDB aborts on a branch page with fewer than two children.
    if (num_nodes < (is_leaf ? 1u : 2u)) return RefusePage(number, "too few entries");
    (is_leaf ? leaf_pages_ : branch_pages_) += 1;
    for (std::size_t i = 0; i < num_nodes; ++i) {
      const std::size_t offset =
          Load<std::uint16_t>(page + lmdb::kPageHeaderBytes + lmdb::kPointerBytes * i);
      if (offset < upper || offset % 2 != 0 || offset + lmdb::kNodeHeaderBytes > meta_.page_bytes) {
        return RefusePage(number, "an entry outside the page");
      }
      const bool good = is_leaf ? CheckLeafNode(number, offset)
                                : CheckBranchNode(number, offset, i == 0, levels - 1);
      if (!good) return false;
    }
    return true;
  }

  bool CheckLeafNode(std::uint64_t number, std::size_t offset) {
    const std::byte* node = Page(number) + offset;
    const std::size_t room = meta_.page_bytes - offset - lmdb::kNodeHeaderBytes;
    const std::uint64_t value_bytes = Load<std::uint32_t>(node);
    const auto flags = Load<std::uint16_t>(node + lmdb::kNodeFlagsAt);
    if (Load<std::uint16_t>(node + lmdb::kNodeKeySizeAt) != lmdb::kKeyBytes ||
        room < lmdb::kKeyBytes || !IsNextKey(node + lmdb::kNodeHeaderBytes)) {
      return RefusePage(number, "a key out of order");
    }
    if (flags == lmdb::kBigNode) {
      const std::uint64_t pages = lmdb::OverflowPages(value_bytes, meta_.page_bytes);
      if (room < lmdb::kKeyBytes + sizeof(std::uint64_t) ||
          !Claim(Load<std::uint64_t>(node + lmdb::kNodeHeaderBytes + lmdb::kKeyBytes), pages)) {
        return RefusePage(number, "a record outside the file");
      }
      overflow_pages_ += pages;
    } else if (flags != 0 || room < lmdb::kKeyBytes + value_bytes) {
      return RefusePage(number, "a record outside the page");
    }
    ++next_record_;
    return true;
  }

  bool CheckBranchNode(std::uint64_t number, std::size_t offset, bool is_first,
                       std::uint64_t levels) {
    const std::byte* node = Page(number) + offset;
    const std::size_t room = meta_.page_bytes - offset - lmdb::kNodeHeaderBytes;
    const std::size_t key_bytes = Load<std::uint16_t>(node + lmdb::kNodeKeySizeAt);
    // The first child's key is left out or ignored by LMDB; the others' is their first record's.
    const bool good_key = key_bytes == lmdb::kKeyBytes && room >= lmdb::kKeyBytes &&
                          IsNextKey(node + lmdb::kNodeHeaderBytes);
    if (!good_key && !(is_first && key_bytes == 0)) {
      return RefusePage(number, "a key out of order");
    }
    const std::uint64_t child = Load<std::uint16_t>(node) |
                                std::uint64_t{Load<std::uint16_t>(node + 2)} << 16 |
                                std::uint64_t{Load<std::uint16_t>(node + 4)} << 32;
    return CheckPage(child, levels);
  }

  std::span<const std::byte> file_;
  Meta meta_{};
  std::vector<bool> visited_;  // by page number
  std::uint64_t next_record_ = 0;
  std::uint64_t branch_pages_ = 0;
  std::uint64_t leaf_pages_ = 0;
  std::uint64_t overflow_pages_ = 0;
  std::string problem_;
};

}  // namespace

Result<std::uint64_t> CheckLmdbStructure(std::span<const std::byte> file) {
  return Walker(file).Check();
}

}  // namespace millrace::storage
