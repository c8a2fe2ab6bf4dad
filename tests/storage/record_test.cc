#include "storage/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/storage/record_fixture.h"

namespace millrace::storage {
namespace {

using test::OwnedRecord;
using testing::HasSubstr;

TEST(Record, RoundTripKeepsEveryField) {
  for (std::uint64_t i = 0; i < 20; ++i) {
    const OwnedRecord record(i, i * 37);
    const auto bytes = SerializeRecord(record.view);
    const auto parsed = ParseRecord(bytes);
    ASSERT_TRUE(parsed.ok()) << parsed.fault().message;
    EXPECT_TRUE(test::SameRecord(*parsed, record.view)) << i;
    EXPECT_TRUE(CheckPayload(*parsed).ok());
  }
}

// Small records lie in LMDB's pages at such addresses; UBSan sees a step beyond what is aligned.
TEST(Record, AnyEvenAddressWillDo) {
  const OwnedRecord record(5, 100);
  const auto bytes = SerializeRecord(record.view);
  for (std::size_t shift = 0; shift < 16; shift += 2) {
    std::vector<std::byte> memory(bytes.size() + shift);
    std::copy(bytes.begin(), bytes.end(), memory.begin() + static_cast<std::ptrdiff_t>(shift));
    const auto parsed = ParseRecord(std::span(memory).subspan(shift));
    ASSERT_TRUE(parsed.ok()) << parsed.fault().message;
    EXPECT_TRUE(test::SameRecord(*parsed, record.view)) << shift;
  }
}

TEST(Record, BytesDependOnNothingButTheFields) {
  const OwnedRecord a(5);
  const OwnedRecord b(5);
  EXPECT_EQ(SerializeRecord(a.view), SerializeRecord(b.view));
}

TEST(Record, HeaderAndIndexLieBeforeThePayload) {
  const OwnedRecord record(7, 5000);
  const auto bytes = SerializeRecord(record.view);
  const auto parsed = ParseRecord(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_LT(parsed->payload.data() - bytes.data(), 300);
  EXPECT_LT(static_cast<const void*>(parsed->region_index.segment_bytes.data()),
            static_cast<const void*>(parsed->payload.data()));
}

TEST(Record, AnyFlippedBitIsFoundOrHarmless) {
  for (const std::uint64_t number : {4u, 5u}) {
    const OwnedRecord record(number, 64);
    const auto good = SerializeRecord(record.view);
    std::size_t found = 0;
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      auto bytes = good;
      bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      const auto parsed = ParseRecord(bytes);
      if (!parsed.ok() || !CheckPayload(*parsed).ok()) {
        ++found;
      } else {
        EXPECT_TRUE(test::SameRecord(*parsed, record.view)) << "bit " << bit;
      }
    }
    EXPECT_GT(found, good.size() * 7);  // only padding may be harmless
  }
}

TEST(Record, AnyLengthThatIsNotItsOwnIsRefused) {
  const OwnedRecord record(5, 64);
  const auto good = SerializeRecord(record.view);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const std::vector<std::byte> cut(good.begin(),
                                     good.begin() + static_cast<std::ptrdiff_t>(size));
    const auto parsed = ParseRecord(cut);
    ASSERT_FALSE(parsed.ok()) << size;
    EXPECT_THAT(parsed.fault().message, HasSubstr("the record is damaged"));
  }
}

TEST(Record, DamagedPayloadIsNamedAsSuch) {
  const OwnedRecord record(5, 64);
  auto bytes = SerializeRecord(record.view);
  bytes.back() ^= std::byte{1};  // padding or payload: the payload lies last
  bytes[bytes.size() - 10] ^= std::byte{1};
  const auto parsed = ParseRecord(bytes);
  ASSERT_TRUE(parsed.ok());
  const auto outcome = CheckPayload(*parsed);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.fault().message,
            "the picture is damaged (it does not have the hash that its record carries)");
}

}  // namespace
}  // namespace millrace::storage
