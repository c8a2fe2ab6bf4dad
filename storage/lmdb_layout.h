// How LMDB lays out a single-file environment: the numbers that the writer of shards and their
// check share. From lmdb 0.9.24's mdb.c (MDB_meta, MDB_db, MDB_page, MDB_node), data format 1, on
// 64-bit little-endian machines.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace millrace::storage::lmdb {

static_assert(std::endian::native == std::endian::little && sizeof(std::size_t) == 8,
              "shards are LMDB files of 64-bit little-endian machines");

inline constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
inline constexpr std::uint32_t kMagic = 0xBEEFC0DE;
inline constexpr std::uint32_t kDataVersion = 1;

// Kinds of pages.
inline constexpr std::uint16_t kBranchPage = 0x01;
inline constexpr std::uint16_t kLeafPage = 0x02;
inline constexpr std::uint16_t kOverflowPage = 0x04;
inline constexpr std::uint16_t kMetaPage = 0x08;

// Of an entry whose value lies in overflow pages.
inline constexpr std::uint16_t kBigNode = 0x01;
// MDB_NOSUBDIR of the environment, and MDB_INTEGERKEY of its list of free pages.
inline constexpr std::uint16_t kMetaFlags = 0x4008;

// A page [bytes]: number 8, padding 2, kind 2, then lower 2 and upper 2, or of overflow pages their
// count 4. Then the offsets of the entries, 2 each, to `lower`; from `upper` on the entries.
inline constexpr std::size_t kPageHeaderBytes = 16;
inline constexpr std::size_t kPageKindAt = 10;
inline constexpr std::size_t kPageLowerAt = 12;
inline constexpr std::size_t kPageUpperAt = 14;
inline constexpr std::size_t kPageCountAt = 12;
inline constexpr std::size_t kPointerBytes = 2;
// An entry [bytes]: size of the value 4 and flags 2, or in a branch the child's page 6; size of the
// key 2; the key; the value, or the page where it begins, 8.
inline constexpr std::size_t kNodeHeaderBytes = 8;
inline constexpr std::size_t kNodeFlagsAt = 4;
inline constexpr std::size_t kNodeKeySizeAt = 6;
// Behind a meta page's header [bytes]: magic 4, version 4, address 8, map size 8, two trees (that
// of free pages with the page size in front, and the records'), last page 8, transaction 8.
inline constexpr std::size_t kMetaBytes = 136;
inline constexpr std::size_t kMetaVersionAt = 4;
inline constexpr std::size_t kMetaMapSizeAt = 16;
inline constexpr std::size_t kMetaFreePagesAt = 24;
inline constexpr std::size_t kMetaRecordsAt = 72;
inline constexpr std::size_t kMetaLastPageAt = 120;
inline constexpr std::size_t kMetaTransactionAt = 128;

// What a meta page says of a tree.
struct Tree {
  std::uint32_t page_bytes = 0;  // of the list of free pages alone
  std::uint16_t flags = 0;
  std::uint16_t depth = 0;
  std::uint64_t branch_pages = 0;
  std::uint64_t leaf_pages = 0;
  std::uint64_t overflow_pages = 0;
  std::uint64_t entries = 0;
  std::uint64_t root = kNoPage;
};
static_assert(sizeof(Tree) == kMetaRecordsAt - kMetaFreePagesAt);

// A shard's keys: the number of the record, big-endian, so that LMDB sorts by it.
inline constexpr std::size_t kKeyBytes = 8;

// Overflow pages that hold a value.
constexpr std::uint64_t OverflowPages(std::uint64_t value_bytes, std::size_t page_bytes) {
  return (kPageHeaderBytes + value_bytes + page_bytes - 1) / page_bytes;
}

}  // namespace millrace::storage::lmdb
