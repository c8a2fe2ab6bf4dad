#include "base/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace millrace {
namespace {

// The buffer of xxHash's own self-test (cli/xsum_sanity_check.c, v0.8.1).
std::vector<std::byte> SelfTestBuffer(std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint64_t generator = 2654435761u;
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(generator >> 56);
    generator *= 11400714785074694797u;
  }
  return bytes;
}

TEST(Hash64, GivesTheKnownAnswersOfXxHash) {
  struct Known {
    std::size_t size;
    std::uint64_t hash;
  };
  // XXH3_64bits, seed 0, of the same self-test: each length takes another branch of the algorithm.
  constexpr std::array kKnown = {Known{0, 0x2D06800538D394C2u},    Known{1, 0xC44BDFF4074EECDBu},
                                 Known{6, 0x27B56A84CD2D7325u},    Known{12, 0xA713DAF0DFBB77E7u},
                                 Known{24, 0xA3FE70BF9D3510EBu},   Known{48, 0x397DA259ECBA1F11u},
                                 Known{80, 0xBCDEFBBB2C47C90Au},   Known{195, 0xCD94217EE362EC3Au},
                                 Known{403, 0xCDEB804D65C6DEA4u},  Known{512, 0x617E49599013CB6Bu},
                                 Known{2048, 0xDD59E2C3A5F038E0u}, Known{2240, 0x6E73A90539CF2948u},
                                 Known{2367, 0xCB37AEB9E5D361EDu}};
  for (const Known& known : kKnown) {
    EXPECT_EQ(Hash64(SelfTestBuffer(known.size)), known.hash) << known.size << " bytes";
  }
}

TEST(Hash64, TextAndItsBytesHashAlike) {
  const std::string text = "n01440764/n01440764_10026.JPEG";
  EXPECT_EQ(Hash64(text), Hash64(std::as_bytes(std::span(text))));
}

TEST(Hasher, GivesTheOneShotHashHoweverTheBytesAreCut) {
  std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same cuts always
  for (const std::size_t size : {0u, 1u, 16u, 17u, 240u, 241u, 256u, 1024u, 1025u, 5000u}) {
    const std::vector<std::byte> bytes = SelfTestBuffer(size);
    for (int repeat = 0; repeat < 20; ++repeat) {
      Hasher hasher;
      std::span<const std::byte> rest(bytes);
      while (!rest.empty()) {
        const std::size_t count = std::min<std::size_t>(rest.size(), random() % 700);
        hasher.Add(rest.first(count));
        rest = rest.subspan(count);
      }
      ASSERT_EQ(hasher.Digest(), Hash64(bytes)) << size << " bytes";
    }
  }
}

TEST(Hasher, DigestDoesNotEndTheStream) {
  Hasher hasher;
  hasher.Add("mill");
  EXPECT_EQ(hasher.Digest(), Hash64(std::string_view("mill")));
  hasher.Add("race");
  EXPECT_EQ(hasher.Digest(), Hash64(std::string_view("millrace")));
}

TEST(Hasher, NumbersAreLittleEndianBytes) {
  Hasher hasher;
  hasher.AddU64(0x0102030405060708u);
  EXPECT_EQ(hasher.Digest(), Hash64(std::string_view("\x08\x07\x06\x05\x04\x03\x02\x01")));
}

TEST(Hasher, MovingCarriesTheStateOver) {
  Hasher first;
  first.Add("mill");
  Hasher second(std::move(first));
  second.Add("ra");
  Hasher third;
  third.Add("something else");
  third = std::move(second);
  third.Add("ce");
  EXPECT_EQ(third.Digest(), Hash64(std::string_view("millrace")));
}

TEST(HashToHex, WritesSixteenLowerCaseDigits) {
  EXPECT_EQ(HashToHex(0), "0000000000000000");
  EXPECT_EQ(HashToHex(0x2D06800538D394C2u), "2d06800538d394c2");
}

}  // namespace
}  // namespace millrace
