// LMDB itself is the judge: it must read what the writer makes, and make the same pages.
#include "storage/lmdb_writer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "storage/lmdb_structure.h"
#include "tests/support/temporary_folder.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using Values = std::vector<std::string>;

constexpr std::size_t kPage = LmdbWriter::kPageBytes;

std::string KeyOf(std::uint64_t record) {
  std::string key;
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(record >> shift);
  return key;
}

std::string Written(const fs::path& path, const Values& values) {
  AtomicFile file(path);
  LmdbWriter writer(&file);
  for (const std::string& value : values) writer.Append(std::as_bytes(std::span(value)));
  writer.Finish();
  EXPECT_EQ(writer.records(), values.size());
  file.Commit();
  std::string bytes = ReadFile(path);
  EXPECT_EQ(writer.bytes(), bytes.size());
  return bytes;
}

struct Env {
  MDB_env* env = nullptr;

  explicit Env(const fs::path& path, unsigned flags) {
    EXPECT_EQ(mdb_env_create(&env), 0);
    EXPECT_EQ(mdb_env_set_mapsize(env, std::size_t{1} << 30), 0);
    EXPECT_EQ(mdb_env_open(env, path.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | flags, 0600), 0);
  }
  ~Env() { mdb_env_close(env); }
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;
};

struct Reading {
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;

  explicit Reading(const Env& env) {
    EXPECT_EQ(mdb_txn_begin(env.env, nullptr, MDB_RDONLY, &transaction), 0);
    EXPECT_EQ(mdb_dbi_open(transaction, nullptr, 0, &database), 0);
  }
  ~Reading() { mdb_txn_abort(transaction); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
};

// LMDB's own: appended, then copied compactly.
std::string MadeByLmdb(const fs::path& folder, const Values& values) {
  const Env env(folder / "build", MDB_NOSYNC);
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;
  EXPECT_EQ(mdb_txn_begin(env.env, nullptr, 0, &transaction), 0);
  EXPECT_EQ(mdb_dbi_open(transaction, nullptr, 0, &database), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::string key_text = KeyOf(i);
    MDB_val key{key_text.size(), key_text.data()};
    MDB_val value{values[i].size(), const_cast<char*>(values[i].data())};
    EXPECT_EQ(mdb_put(transaction, database, &key, &value, MDB_APPEND), 0);
  }
  EXPECT_EQ(mdb_txn_commit(transaction), 0);
  EXPECT_EQ(mdb_env_copy2(env.env, (folder / "copy").c_str(), MDB_CP_COMPACT), 0);
  return ReadFile(folder / "copy");
}

Values ReadByLmdb(const fs::path& path) {
  const Env env(path, MDB_RDONLY);
  const Reading reading(env);
  MDB_cursor* cursor = nullptr;
  EXPECT_EQ(mdb_cursor_open(reading.transaction, reading.database, &cursor), 0);
  Values values;
  MDB_val key;
  MDB_val value;
  while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
    EXPECT_EQ(std::string(static_cast<const char*>(key.mv_data), key.mv_size),
              KeyOf(values.size()));
    values.emplace_back(static_cast<const char*>(value.mv_data), value.mv_size);
  }
  mdb_cursor_close(cursor);
  return values;
}

std::string Random(std::size_t bytes, std::mt19937_64* random) {
  std::string text(bytes, '\0');
  for (char& byte : text) byte = static_cast<char>((*random)());
  return text;
}

Values RandomValues(std::size_t count, std::size_t least, std::size_t most) {
  std::mt19937_64 random(count);
  Values values;
  std::uniform_int_distribution<std::size_t> size(least, most);
  for (std::size_t i = 0; i < count; ++i) values.push_back(Random(size(random), &random));
  return values;
}

template <typename T>
T Load(const std::string& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

// Zeros what LMDB leaves as it happens to be, the room between the pointers and the entries of a
// page, and the size of the map, which is a matter of taste.
std::string WithoutUnusedBytes(std::string file) {
  for (std::size_t meta : {std::size_t{0}, kPage}) {
    std::memset(file.data() + meta + lmdb::kPageHeaderBytes + lmdb::kMetaMapSizeAt, 0, 8);
  }
  for (std::size_t at = 2 * kPage; at < file.size();) {
    const auto kind = Load<std::uint16_t>(file, at + lmdb::kPageKindAt);
    if (kind == lmdb::kOverflowPage) {
      at += Load<std::uint32_t>(file, at + lmdb::kPageCountAt) * kPage;
      continue;
    }
    const auto lower = Load<std::uint16_t>(file, at + lmdb::kPageLowerAt);
    const auto upper = Load<std::uint16_t>(file, at + lmdb::kPageUpperAt);
    std::memset(file.data() + at + lower, 0, upper - lower);
    at += kPage;
  }
  return file;
}

TEST(LmdbWriter, PagesAreThoseOfLmdbsCompactCopy) {
  const std::vector<Values> sets = {
      RandomValues(1, 5, 5),              // one leaf
      RandomValues(3, 2000, 2200),        // around the largest value inside a page
      RandomValues(156, 20'000, 20'000),  // a leaf that is full
      RandomValues(157, 20'000, 20'000),  // and one more
      RandomValues(500, 0, 9000),         // all kinds
      RandomValues(3000, 0, 300),         // one level of branches
      {std::string(), std::string(2022, 'a'), std::string(2023, 'b'), std::string(2024, 'c'),
       std::string(4080, 'd'), std::string(4081, 'e')},
  };
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const test::TemporaryFolder folder;
    const std::string ours = Written(folder / "ours", sets[i]);
    const std::string lmdbs = MadeByLmdb(folder.path(), sets[i]);
    EXPECT_TRUE(WithoutUnusedBytes(ours) == WithoutUnusedBytes(lmdbs)) << "set " << i;
    EXPECT_TRUE(WithoutUnusedBytes(ours).size() == ours.size());
  }
}

TEST(LmdbWriter, UnusedBytesAreZero) {
  const test::TemporaryFolder folder;
  const Values values = RandomValues(700, 0, 5000);
  std::string ours = Written(folder / "ours", values);
  const std::string without = WithoutUnusedBytes(ours);
  for (std::size_t meta : {std::size_t{0}, kPage}) {
    const std::size_t at = meta + lmdb::kPageHeaderBytes + lmdb::kMetaMapSizeAt;
    EXPECT_EQ(Load<std::uint64_t>(ours, at), ours.size());
    std::memset(ours.data() + at, 0, 8);
  }
  EXPECT_TRUE(ours == without);
}

TEST(LmdbWriter, LmdbReadsTreesOfAnyDepth) {
  // A leaf has room for 145 entries of 26 bytes and their pointers, a branch for 227 children.
  constexpr std::size_t kLeaf = 145;
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, kLeaf, 227 * kLeaf,
                                  227 * kLeaf + 1, 228 * kLeaf, std::size_t{100'000}}) {
    const test::TemporaryFolder folder;
    const Values values = RandomValues(count, 10, 10);
    const std::string bytes = Written(folder / "ours", values);
    const auto checked = CheckLmdbStructure(std::as_bytes(std::span(bytes)));
    ASSERT_TRUE(checked.ok()) << count << ": " << checked.fault().message;
    EXPECT_EQ(*checked, count);
    EXPECT_TRUE(ReadByLmdb(folder / "ours") == values) << count;
  }
}

TEST(LmdbWriter, LmdbFindsEveryKeyAndCopiesTheFile) {
  const test::TemporaryFolder folder;
  const Values values = RandomValues(40'000, 0, 60);
  Written(folder / "ours", values);
  const Env env(folder / "ours", MDB_RDONLY);
  {
    const Reading reading(env);
    MDB_stat stat{};
    EXPECT_EQ(mdb_stat(reading.transaction, reading.database, &stat), 0);
    EXPECT_EQ(stat.ms_entries, values.size());
    EXPECT_EQ(stat.ms_depth, 3u);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::string key_text = KeyOf(i);
      MDB_val key{key_text.size(), key_text.data()};
      MDB_val value{};
      ASSERT_EQ(mdb_get(reading.transaction, reading.database, &key, &value), 0) << i;
      ASSERT_EQ(std::string(static_cast<const char*>(value.mv_data), value.mv_size), values[i]);
    }
  }
  EXPECT_EQ(mdb_env_copy2(env.env, (folder / "copy").c_str(), MDB_CP_COMPACT), 0);
  EXPECT_TRUE(ReadByLmdb(folder / "copy") == values);
}

TEST(LmdbWriter, LmdbAppendsToTheFile) {
  const test::TemporaryFolder folder;
  Values values = RandomValues(1000, 0, 6000);
  Written(folder / "ours", values);
  {
    const Env env(folder / "ours", 0);
    MDB_txn* transaction = nullptr;
    MDB_dbi database = 0;
    ASSERT_EQ(mdb_txn_begin(env.env, nullptr, 0, &transaction), 0);
    ASSERT_EQ(mdb_dbi_open(transaction, nullptr, 0, &database), 0);
    for (int i = 0; i < 500; ++i) {
      values.push_back(fmt::format("value {}", i));
      std::string key_text = KeyOf(values.size() - 1);
      MDB_val key{key_text.size(), key_text.data()};
      MDB_val value{values.back().size(), values.back().data()};
      ASSERT_EQ(mdb_put(transaction, database, &key, &value, 0), 0);
    }
    ASSERT_EQ(mdb_txn_commit(transaction), 0);
  }
  EXPECT_TRUE(ReadByLmdb(folder / "ours") == values);
}

}  // namespace
}  // namespace millrace::storage
