// The check that makes a shard safe to hand to LMDB, which trusts its pages: one flipped byte in a
// page number or offset would have it read outside the map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace millrace::storage {

// Walks the meta, branch and leaf pages of a single-file LMDB environment as ShardWriter makes them
// (LMDB data format 1, 64-bit little-endian, one unnamed database) and returns its number of
// records, or the first thing that is wrong. After success LMDB's cursors stay inside `file`, keys
// are 0..n-1 as 8 bytes big-endian, and every value lies inside the file. Values are neither read
// nor checked: overflow pages are not touched. The layout follows lmdb 0.9.24's mdb.c (MDB_meta,
// MDB_page, MDB_node).
Result<std::uint64_t> CheckLmdbStructure(std::span<const std::byte> file);

}  // namespace millrace::storage
