#include "tracking/record_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace millrace::tracking {
namespace {

std::string Bytes(const std::vector<int>& values) {
  std::string bytes;
  for (const int value : values) bytes.push_back(static_cast<char>(value));
  return bytes;
}

// RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
}

TEST(Crc32c, EveryLengthIsWhatBitByBitGives) {
  std::mt19937 random(1);
  std::string bytes;
  for (int length = 0; length < 100; ++length) {
    std::uint32_t crc = ~0u;
    for (const char byte : bytes) {
      crc ^= static_cast<unsigned char>(byte);
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    ASSERT_EQ(Crc32c(bytes), ~crc) << length;
    bytes.push_back(static_cast<char>(random()));
  }
}

// As TensorFlow writes it.
TEST(AppendRecord, LaysOutLengthChecksumDataChecksum) {
  std::string file;
  AppendRecord("abc", &file);
  EXPECT_EQ(file.substr(0, 8), Bytes({3, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(file.substr(12, 3), "abc");
  const auto masked = [](std::string_view data) {
    const std::uint32_t crc = Crc32c(data);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
  };
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(file[at + i]);
    return value;
  };
  EXPECT_EQ(number(8), masked(file.substr(0, 8)));
  EXPECT_EQ(number(15), masked("abc"));
  EXPECT_EQ(file.size(), 19u);
}

struct Records {
  std::vector<std::string> data;
  std::size_t position = 0;
  bool whole = false;
};

Records ReadAll(std::string_view bytes) {
  Records records;
  RecordReader reader(bytes);
  while (const auto data = reader.Next()) records.data.emplace_back(*data);
  EXPECT_FALSE(reader.Next()) << "an end is an end";
  records.position = reader.position();
  records.whole = reader.whole();
  return records;
}

const std::vector<std::string> kData = {"first", "", std::string(1000, 'x'),
                                        std::string("\0\1", 2)};

std::string File(std::vector<std::size_t>* ends) {
  std::string file;
  for (const std::string& data : kData) {
    AppendRecord(data, &file);
    ends->push_back(file.size());
  }
  return file;
}

TEST(RecordReader, ReadsWhatWasAppended) {
  std::vector<std::size_t> ends;
  const Records records = ReadAll(File(&ends));
  EXPECT_EQ(records.data, kData);
  EXPECT_TRUE(records.whole);
  EXPECT_TRUE(ReadAll("").whole);
}

TEST(RecordReader, FileCutAnywhereGivesTheWholeRecordsBefore) {
  std::vector<std::size_t> ends;
  const std::string file = File(&ends);
  for (std::size_t size = 0; size <= file.size(); ++size) {
    std::size_t count = 0;
    while (count < ends.size() && ends[count] <= size) ++count;
    const Records records = ReadAll(std::string_view(file).substr(0, size));
    ASSERT_EQ(records.data, std::vector<std::string>(
                                kData.begin(), kData.begin() + static_cast<std::ptrdiff_t>(count)))
        << size;
    ASSERT_EQ(records.position, count == 0 ? 0 : ends[count - 1]);
    ASSERT_EQ(records.whole, records.position == size);
  }
}

TEST(RecordReader, AnyFlippedBitEndsTheFileAtItsRecord) {
  std::vector<std::size_t> ends;
  const std::string file = File(&ends);
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    std::size_t count = 0;
    while (ends[count] <= bit / 8) ++count;
    ASSERT_EQ(ReadAll(damaged).data.size(), count) << bit;
  }
}

TEST(RecordReader, LengthBeyondAnyFileIsDamage) {
  std::string file(8, '\xff');
  const std::uint32_t crc = Crc32c(file);
  const std::uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
  for (std::size_t i = 0; i < 4; ++i) file.push_back(static_cast<char>(masked >> 8 * i & 0xff));
  file += std::string(100, 'x');
  EXPECT_TRUE(ReadAll(file).data.empty());
}

}  // namespace
}  // namespace millrace::tracking
