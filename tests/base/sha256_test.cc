#include "base/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace {
namespace {

std::string Hash(std::string_view text, std::size_t piece) {
  Sha256 hash;
  for (std::size_t at = 0; at < text.size(); at += piece) hash.Add(text.substr(at, piece));
  return hash.Finish();
}

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256, TextsOfTheStandardGiveItsDigests) {
  EXPECT_EQ(Hash("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hash("abc", 2), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 100),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Hash(std::string(1000000, 'a'), 1001),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text.push_back(static_cast<char>(i));
    for (const std::size_t piece : {1U, 55U, 56U, 63U, 64U, 65U}) {
      ASSERT_EQ(Hash(text, piece), Hash(text, text.size())) << i << ' ' << piece;
    }
  }
}

TEST(Sha256, FileIsHashedAsItsBytes) {
  const test::TemporaryFolder folder;
  const std::string text(100000, 'x');
  std::ofstream(folder / "file", std::ios::binary) << text;
  EXPECT_EQ(Sha256OfFile(folder / "file"), Hash(text, text.size()));
  EXPECT_EQ(test::ErrorOf([&] { (void)Sha256OfFile(folder / "none"); }),
            (folder / "none").string() + ": No such file or directory");
}

}  // namespace
}  // namespace millrace
