#include "storage/lmdb_structure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>

#include <cstring>

#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"

namespace millrace::storage {
namespace {

using testing::HasSubstr;

Result<std::uint64_t> Check(const std::string& file) {
  return CheckLmdbStructure(std::as_bytes(std::span(file)));
}

TEST(LmdbStructure, CountsRecordsOfShardsOfAnyDepth) {
  const test::TemporaryFolder folder;
  for (const std::uint64_t records : {0u, 1u, 2u, 13u, 150u, 151u, 2000u, 9000u}) {
    test::WriteShard(folder / "a.lmdb", 0, records, records > 5000 ? 10 : 300);
    const auto found = Check(ReadFile(folder / "a.lmdb"));
    ASSERT_TRUE(found.ok()) << found.fault().message;
    EXPECT_EQ(*found, records);
  }
}

// An LMDB file that ShardWriter did not make: keys as given.
std::string MakeLmdb(const std::vector<std::string>& keys, unsigned database_flags = 0) {
  const test::TemporaryFolder folder;
  const auto path = folder / "a.lmdb";
  MDB_env* env = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;
  EXPECT_EQ(mdb_env_create(&env), 0);
  EXPECT_EQ(mdb_env_open(env, path.c_str(), MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
  EXPECT_EQ(mdb_txn_begin(env, nullptr, 0, &transaction), 0);
  EXPECT_EQ(mdb_dbi_open(transaction, nullptr, database_flags, &database), 0);
  for (std::string text : keys) {
    MDB_val key{text.size(), text.data()};
    MDB_val value{text.size(), text.data()};
    EXPECT_EQ(mdb_put(transaction, database, &key, &value, 0), 0);
  }
  EXPECT_EQ(mdb_txn_commit(transaction), 0);
  mdb_env_close(env);
  return ReadFile(path);
}

std::string Key(unsigned char last) { return std::string(7, '\0') + static_cast<char>(last); }

TEST(LmdbStructure, KeysThatAreNotTheRecordNumbersAreRefused) {
  EXPECT_TRUE(Check(MakeLmdb({Key(0), Key(1)})).ok());
  for (const auto& keys :
       {std::vector<std::string>{Key(1)}, {Key(0), Key(2)}, {"a"}, {Key(0), "b"}}) {
    const auto found = Check(MakeLmdb(keys));
    ASSERT_FALSE(found.ok());
    EXPECT_THAT(found.fault().message, HasSubstr("a key out of order"));
  }
}

TEST(LmdbStructure, DatabasesOfOtherKindsAreRefused) {
  const auto found = Check(MakeLmdb({Key(0)}, MDB_DUPSORT));
  ASSERT_FALSE(found.ok());
  EXPECT_THAT(found.fault().message, HasSubstr("unknown flags of the database"));
}

TEST(LmdbStructure, NewerDataFormatIsNamed) {
  const test::TemporaryFolder folder;
  test::WriteShard(folder / "a.lmdb", 0, 3);
  std::string file = ReadFile(folder / "a.lmdb");
  const std::uint32_t version = 2;
  std::memcpy(file.data() + 20, &version, sizeof(version));
  const auto found = Check(file);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.fault().message, "it has LMDB data format 2; this program reads format 1");
}

TEST(LmdbStructure, AnyFlippedBitInAnIndexPageIsRefusedOrHarmless) {
  const test::TemporaryFolder folder;
  test::WriteShard(folder / "a.lmdb", 0, 40, 3000);
  const std::string good = ReadFile(folder / "a.lmdb");
  ASSERT_TRUE(Check(good).ok());
  std::size_t refused = 0;
  for (std::size_t page = 0; page < good.size(); page += 4096) {
    const char kind = good[page + 10];
    if (kind == 0x04 || kind == 0) continue;  // overflow pages are not this check's concern
    std::string file = good;
    for (std::size_t bit = 0; bit < 4096 * 8; ++bit) {
      char& byte = file[page + bit / 8];
      byte = static_cast<char>(byte ^ (1 << bit % 8));
      const auto found = Check(file);
      if (!found.ok()) {
        ++refused;
      } else {
        EXPECT_EQ(*found, 40u);
      }
      byte = good[page + bit / 8];
    }
  }
  // Each of the 40 entries has 16 bytes of header and key, 8 of page number and 2 of offset.
  EXPECT_GT(refused, 40u * 20 * 8);
}

}  // namespace
}  // namespace millrace::storage
