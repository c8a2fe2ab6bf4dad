#include "storage/lmdb_structure.h"

#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace millrace::storage {
namespace {

static_assert(std::endian::native == std::endian::little && sizeof(std::size_t) == 8,
              "shards are LMDB files of 64-bit little-endian machines");

constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr std::uint16_t kBranchPage = 0x01;
constexpr std::uint16_t kLeafPage = 0x02;
constexpr std::uint16_t kMetaPage = 0x08;
constexpr std::uint16_t kBigNode = 0x01;
// MDB_NOSUBDIR of the environment, and MDB_INTEGERKEY of its list of free pages.
constexpr std::uint16_t kMetaFlags = 0x4008;
constexpr std::size_t kPageHeaderBytes = 16;
constexpr std::size_t kNodeHeaderBytes = 8;
constexpr std::size_t kMetaBytes = 136;
constexpr std::size_t kKeyBytes = 8;
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

struct Tree {
  std::uint16_t flags;
  std::uint64_t depth;
  std::uint64_t branch_pages;
  std::uint64_t leaf_pages;
  std::uint64_t overflow_pages;
  std::uint64_t entries;
  std::uint64_t root;
};

Tree LoadTree(const std::byte* at) {
  return {.flags = Load<std::uint16_t>(at + 4),
          .depth = Load<std::uint16_t>(at + 6),
          .branch_pages = Load<std::uint64_t>(at + 8),
          .leaf_pages = Load<std::uint64_t>(at + 16),
          .overflow_pages = Load<std::uint64_t>(at + 24),
          .entries = Load<std::uint64_t>(at + 32),
          .root = Load<std::uint64_t>(at + 40)};
}

struct Meta {
  std::uint32_t page_bytes;
  Tree free_pages;
  Tree records;
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
    if (offset + kPageHeaderBytes + kMetaBytes > file_.size()) {
      Refuse(fmt::format("it is cut off ({} bytes are too few for a shard)", file_.size()));
      return {};
    }
    const std::byte* header = file_.data() + offset;
    const std::byte* at = header + kPageHeaderBytes;
    if (Load<std::uint32_t>(at) != kMagic || Load<std::uint64_t>(header) != page ||
        Load<std::uint16_t>(header + 10) != kMetaPage) {
      Refuse(page == 0 ? "it is not an LMDB file or its first page is damaged"
                       : "its structure is damaged (page 1: not a meta page)");
      return {};
    }
    if (const auto version = Load<std::uint32_t>(at + 4); version != kDataVersion) {
      Refuse(fmt::format("it has LMDB data format {}; this program reads format {}", version,
                         kDataVersion));
      return {};
    }
    return Meta{.page_bytes = Load<std::uint32_t>(at + 24),
                .free_pages = LoadTree(at + 24),
                .records = LoadTree(at + 72),
                .last_page = Load<std::uint64_t>(at + 120),
                .transaction = Load<std::uint64_t>(at + 128)};
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
        second->transaction != (second->records.root == kNoPage ? 0u : 1u)) {
      return RefusePage(1, "not the states that a finished shard has");
    }
    if (first->free_pages.flags != kMetaFlags || second->free_pages.flags != kMetaFlags) {
      return RefusePage(0, "unknown flags");
    }
    const std::uint64_t pages_in_file = file_.size() / meta_.page_bytes;
    for (const Meta& meta : {*first, *second}) {
      if (meta.last_page < 1 || meta.last_page >= pages_in_file) {
        return Refuse(fmt::format("it is cut off or damaged (it has {} pages and counts {})",
                                  pages_in_file, meta.last_page + 1));
      }
    }
    if (meta_.free_pages.root != kNoPage || meta_.free_pages.entries != 0) {
      return RefusePage(1, "a list of free pages, which a finished shard does not have");
    }
    if (meta_.records.flags != 0) return RefusePage(1, "unknown flags of the database");
    visited_.assign(meta_.last_page + 1, false);
    visited_[0] = visited_[1] = true;
    return true;
  }

  bool CheckRecords() {
    const Tree& tree = meta_.records;
    if (tree.root == kNoPage) {
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
    for (std::size_t i = 0; i < kKeyBytes; ++i) {
      index = index << 8 | std::to_integer<std::uint64_t>(key[i]);
    }
    return index == next_record_;
  }

  // Recursion is bounded by kMaxDepth.
  bool CheckPage(std::uint64_t number, std::uint64_t levels) {
    if (!Claim(number, 1)) return RefusePage(number, "outside the file or used twice");
    const std::byte* page = Page(number);
    const auto pad = Load<std::uint16_t>(page + 8);
    const auto flags = Load<std::uint16_t>(page + 10);
    const std::size_t lower = Load<std::uint16_t>(page + 12);
    const std::size_t upper = Load<std::uint16_t>(page + 14);
    const bool is_leaf = levels == 1;
    if (Load<std::uint64_t>(page) != number || pad != 0 ||
        flags != (is_leaf ? kLeafPage : kBranchPage)) {
      return RefusePage(number, "not the kind of page that belongs here");
    }
    if (lower < kPageHeaderBytes || lower % 2 != 0 || lower > upper || upper > meta_.page_bytes) {
      return RefusePage(number, "impossible bounds");
    }
    const std::size_t num_nodes = (lower - kPageHeaderBytes) / 2;
    // LMDB aborts on a branch page with fewer than two children.
    if (num_nodes < (is_leaf ? 1u : 2u)) return RefusePage(number, "too few entries");
    (is_leaf ? leaf_pages_ : branch_pages_) += 1;
    for (std::size_t i = 0; i < num_nodes; ++i) {
      const std::size_t offset = Load<std::uint16_t>(page + kPageHeaderBytes + 2 * i);
      if (offset < upper || offset % 2 != 0 || offset + kNodeHeaderBytes > meta_.page_bytes) {
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
    const std::size_t room = meta_.page_bytes - offset - kNodeHeaderBytes;
    const std::uint64_t value_bytes =
        Load<std::uint16_t>(node) | std::uint64_t{Load<std::uint16_t>(node + 2)} << 16;
    const auto flags = Load<std::uint16_t>(node + 4);
    if (Load<std::uint16_t>(node + 6) != kKeyBytes || room < kKeyBytes ||
        !IsNextKey(node + kNodeHeaderBytes)) {
      return RefusePage(number, "a key out of order");
    }
    if (flags == kBigNode) {
      const std::uint64_t pages =
          (kPageHeaderBytes + value_bytes + meta_.page_bytes - 1) / meta_.page_bytes;
      if (room < kKeyBytes + sizeof(std::uint64_t) ||
          !Claim(Load<std::uint64_t>(node + kNodeHeaderBytes + kKeyBytes), pages)) {
        return RefusePage(number, "a record outside the file");
      }
      overflow_pages_ += pages;
    } else if (flags != 0 || room < kKeyBytes + value_bytes) {
      return RefusePage(number, "a record outside the page");
    }
    ++next_record_;
    return true;
  }

  bool CheckBranchNode(std::uint64_t number, std::size_t offset, bool is_first,
                       std::uint64_t levels) {
    const std::byte* node = Page(number) + offset;
    const std::size_t room = meta_.page_bytes - offset - kNodeHeaderBytes;
    const std::size_t key_bytes = Load<std::uint16_t>(node + 6);
    // The first child's key is left out or ignored by LMDB; the others' is their first record's.
    const bool good_key =
        key_bytes == kKeyBytes && room >= kKeyBytes && IsNextKey(node + kNodeHeaderBytes);
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
