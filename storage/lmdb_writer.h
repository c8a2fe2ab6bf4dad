// Writes a single-file LMDB environment from its first page to its last, each byte once: records
// come in the order of their keys, so that LMDB's search, its free pages and the copy that compacts
// them are not needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/file.h"
#include "storage/lmdb_layout.h"

namespace millrace::storage {

// The keys are the numbers 0, 1, 2 ... of the values, 8 bytes big-endian. Leaves are filled to the
// last entry and lie behind the overflow pages of their values, as in the compacting copy that LMDB
// makes of an environment filled with MDB_APPEND; all branches lie at the end. What no entry uses
// is zero: the bytes are a pure function of the values. Memory: 16 bytes per leaf. One thread.
// Throws the file's Error; after one, only the destructor may follow.
class LmdbWriter {
 public:
  // `file` is empty and outlives the writer.
  explicit LmdbWriter(AtomicFile* file);

  // `value` has less than 4 GiB.
  void Append(std::span<const std::byte> value);

  // Writes what makes an environment of the values. REQUIRES: called once, last; the file is then
  // the caller's to commit
  void Finish();

  std::uint64_t records() const { return tree_.entries; }
  std::uint64_t bytes() const { return next_page_ * kPageBytes; }  // of the file so far

  // LMDB reads pages of any size on any machine; this is what x86-64 has itself.
  static constexpr std::size_t kPageBytes = 4096;

 private:
  // A leaf or branch under construction.
  class Page {
   public:
    bool empty() const { return lower_ == lmdb::kPageHeaderBytes; }
    bool HasRoom(std::size_t node_bytes) const {
      return lower_ + lmdb::kPointerBytes + node_bytes <= upper_;
    }
    // The place of another entry's bytes, an even number of them. REQUIRES: HasRoom(node_bytes)
    std::byte* Add(std::size_t node_bytes);
    // The finished page, valid until Clear().
    std::span<const std::byte> Seal(std::uint64_t number, std::uint16_t kind);
    void Clear();

   private:
    std::array<std::byte, kPageBytes> bytes_{};
    std::size_t lower_ = lmdb::kPageHeaderBytes;
    std::size_t upper_ = kPageBytes;
  };

  // A page that a branch points to.
  struct Child {
    std::uint64_t first_record = 0;
    std::uint64_t page = 0;
  };

  std::uint64_t WriteValue(std::span<const std::byte> value);
  void WritePage(std::uint16_t kind);
  void WriteLeaf();
  void WriteBranch(std::span<const Child> children);
  void WriteMetaPages();

  AtomicFile* const file_;
  std::uint64_t next_page_ = 0;
  lmdb::Tree tree_;
  Page page_;
  std::uint64_t first_in_leaf_ = 0;
  std::vector<Child> leaves_;
};

}  // namespace millrace::storage
