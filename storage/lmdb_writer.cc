#include "storage/lmdb_writer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"

namespace millrace::storage {
namespace {

constexpr std::size_t kPageBytes = LmdbWriter::kPageBytes;

// mdb.c's me_nodemax: entries that are larger keep their value in overflow pages, so that two fit a
// page at least (MDB_MINKEYS).
constexpr std::size_t kMostNodeBytes =
    ((kPageBytes - lmdb::kPageHeaderBytes) / 2 / 2 * 2) - lmdb::kPointerBytes;

// The first entry of a branch has no key: it stands for all that comes before the second's.
constexpr std::size_t kFirstChildBytes = lmdb::kNodeHeaderBytes;
constexpr std::size_t kChildBytes = lmdb::kNodeHeaderBytes + lmdb::kKeyBytes;
constexpr std::size_t kMostChildren =
    1 + (kPageBytes - lmdb::kPageHeaderBytes - kFirstChildBytes - lmdb::kPointerBytes) /
            (kChildBytes + lmdb::kPointerBytes);

template <typename T>
void Store(T value, std::byte* at) {
  std::memcpy(at, &value, sizeof(value));
}

void StoreKey(std::uint64_t record, std::byte* at) {
  for (std::size_t i = 0; i < lmdb::kKeyBytes; ++i) {
    at[i] = static_cast<std::byte>(record >> (8 * (lmdb::kKeyBytes - 1 - i)));
  }
}

}  // namespace

std::byte* LmdbWriter::Page::Add(std::size_t node_bytes) {
  MILLRACE_CHECK(node_bytes % 2 == 0 && HasRoom(node_bytes));
  upper_ -= node_bytes;
  Store(static_cast<std::uint16_t>(upper_), bytes_.data() + lower_);
  lower_ += lmdb::kPointerBytes;
  return bytes_.data() + upper_;
}

std::span<const std::byte> LmdbWriter::Page::Seal(std::uint64_t number, std::uint16_t kind) {
  Store(number, bytes_.data());
  Store(kind, bytes_.data() + lmdb::kPageKindAt);
  Store(static_cast<std::uint16_t>(lower_), bytes_.data() + lmdb::kPageLowerAt);
  Store(static_cast<std::uint16_t>(upper_), bytes_.data() + lmdb::kPageUpperAt);
  return bytes_;
}

void LmdbWriter::Page::Clear() {
  bytes_.fill(std::byte{0});
  lower_ = lmdb::kPageHeaderBytes;
  upper_ = kPageBytes;
}

LmdbWriter::LmdbWriter(AtomicFile* file) : file_(file) {
  // Their place; Finish() fills it.
  const std::array<std::byte, 2 * kPageBytes> meta_pages{};
  file_->Write(meta_pages);
  next_page_ = 2;
}

void LmdbWriter::Append(std::span<const std::byte> value) {
  MILLRACE_CHECK(value.size() <= std::numeric_limits<std::uint32_t>::max());
  const std::size_t whole = lmdb::kNodeHeaderBytes + lmdb::kKeyBytes + value.size();
  const bool is_big = whole > kMostNodeBytes;
  const std::size_t used =
      is_big ? lmdb::kNodeHeaderBytes + lmdb::kKeyBytes + sizeof(std::uint64_t) : whole;
  const std::size_t node_bytes = used + used % 2;
  if (!page_.HasRoom(node_bytes)) WriteLeaf();
  if (page_.empty()) first_in_leaf_ = tree_.entries;
  std::byte* node = page_.Add(node_bytes);
  Store(static_cast<std::uint32_t>(value.size()), node);
  Store(is_big ? lmdb::kBigNode : std::uint16_t{0}, node + lmdb::kNodeFlagsAt);
  Store(std::uint16_t{lmdb::kKeyBytes}, node + lmdb::kNodeKeySizeAt);
  StoreKey(tree_.entries, node + lmdb::kNodeHeaderBytes);
  std::byte* const content = node + lmdb::kNodeHeaderBytes + lmdb::kKeyBytes;
  if (is_big) {
    Store(WriteValue(value), content);
  } else if (!value.empty()) {
    std::memcpy(content, value.data(), value.size());
  }
  ++tree_.entries;
}

// Writes a value into overflow pages and returns the first.
std::uint64_t LmdbWriter::WriteValue(std::span<const std::byte> value) {
  const std::uint64_t first = next_page_;
  const std::uint64_t pages = lmdb::OverflowPages(value.size(), kPageBytes);
  std::array<std::byte, lmdb::kPageHeaderBytes> header{};
  Store(first, header.data());
  Store(lmdb::kOverflowPage, header.data() + lmdb::kPageKindAt);
  Store(static_cast<std::uint32_t>(pages), header.data() + lmdb::kPageCountAt);
  constexpr std::array<std::byte, kPageBytes> kZeros{};
  file_->Write(header);
  file_->Write(value);
  file_->Write(std::span(kZeros).first(pages * kPageBytes - header.size() - value.size()));
  next_page_ += pages;
  tree_.overflow_pages += pages;
  return first;
}

// Writes the page under construction and begins another.
void LmdbWriter::WritePage(std::uint16_t kind) {
  file_->Write(page_.Seal(next_page_++, kind));
  page_.Clear();
}

void LmdbWriter::WriteLeaf() {
  leaves_.push_back({.first_record = first_in_leaf_, .page = next_page_});
  WritePage(lmdb::kLeafPage);
  ++tree_.leaf_pages;
}

void LmdbWriter::WriteBranch(std::span<const Child> children) {
  bool is_first = true;
  for (const Child& child : children) {
    std::byte* node = page_.Add(is_first ? kFirstChildBytes : kChildBytes);
    std::memcpy(node, &child.page, lmdb::kNodeKeySizeAt);  // its lower 48 bits
    if (!is_first) {
      Store(std::uint16_t{lmdb::kKeyBytes}, node + lmdb::kNodeKeySizeAt);
      StoreKey(child.first_record, node + lmdb::kNodeHeaderBytes);
    }
    is_first = false;
  }
  WritePage(lmdb::kBranchPage);
  ++tree_.branch_pages;
}

void LmdbWriter::Finish() {
  if (!page_.empty()) WriteLeaf();
  std::vector<Child> level = std::move(leaves_);
  if (!level.empty()) tree_.depth = 1;
  while (level.size() > 1) {
    // Evenly, so that no branch has a single child, which LMDB takes for damage.
    const std::size_t branches = (level.size() + kMostChildren - 1) / kMostChildren;
    std::vector<Child> above;
    for (std::size_t i = 0; i < branches; ++i) {
      const std::size_t begin = i * level.size() / branches;
      const std::size_t end = (i + 1) * level.size() / branches;
      above.push_back({.first_record = level[begin].first_record, .page = next_page_});
      WriteBranch(std::span<const Child>(level).subspan(begin, end - begin));
    }
    level = std::move(above);
    ++tree_.depth;
  }
  if (!level.empty()) tree_.root = level.front().page;
  WriteMetaPages();
}

// As LMDB's compacting copy leaves them: the first stands for the empty environment, the second,
// which is newer unless there are no records, for the finished one.
void LmdbWriter::WriteMetaPages() {
  constexpr std::uint64_t kPages = 2;
  std::array<std::byte, kPages * kPageBytes> pages{};
  const lmdb::Tree free_pages{.page_bytes = kPageBytes, .flags = lmdb::kMetaFlags};
  for (std::uint64_t number = 0; number < kPages; ++number) {
    const bool is_finished = number == 1 && tree_.entries > 0;
    std::byte* const header = pages.data() + number * kPageBytes;
    Store(number, header);
    Store(lmdb::kMetaPage, header + lmdb::kPageKindAt);
    std::byte* const meta = header + lmdb::kPageHeaderBytes;
    Store(lmdb::kMagic, meta);
    Store(lmdb::kDataVersion, meta + lmdb::kMetaVersionAt);
    Store(next_page_ * kPageBytes, meta + lmdb::kMetaMapSizeAt);
    Store(free_pages, meta + lmdb::kMetaFreePagesAt);
    Store(is_finished ? tree_ : lmdb::Tree{}, meta + lmdb::kMetaRecordsAt);
    Store(is_finished ? next_page_ - 1 : kPages - 1, meta + lmdb::kMetaLastPageAt);
    Store(std::uint64_t{is_finished ? 1u : 0u}, meta + lmdb::kMetaTransactionAt);
  }
  file_->WriteAt(0, pages);
}

}  // namespace millrace::storage
