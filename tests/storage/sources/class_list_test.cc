#include "storage/sources/class_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/sources/class_id.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

using testing::ElementsAre;
using testing::Pair;

class ClassListTest : public testing::Test {
 protected:
  ClassList Read(std::string_view text) const {
    test::WriteText(path(), text);
    return ReadClassList(path());
  }

  // The text of the error, without the path.
  std::string ErrorOf(std::string_view text) const {
    const std::string error = test::ErrorOf([&] { Read(text); });
    return error.starts_with(path().string()) ? error.substr(path().string().size()) : error;
  }

  std::filesystem::path path() const { return folder_ / "classes.txt"; }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(ClassListTest, LinesOfKagglesMappingAreRead) {
  const auto list = Read("n02 goldfish, Carassius auratus\r\nn01 tench, Tinca\tx \nn03\n\n\n");
  EXPECT_THAT(list.ids, ElementsAre("n02", "n01", "n03"));
  EXPECT_THAT(list.names,
              ElementsAre(Pair("n01", "tench, Tinca\tx"),
                          Pair("n02", "goldfish, Carassius auratus"), Pair("n03", "n03")));
}

TEST_F(ClassListTest, LinesThatAreNoClassesAreNamed) {
  EXPECT_EQ(ErrorOf("a x\n\nb y\n"),
            ", line 2: no class id; lines are expected as \"n01440764 tench, Tinca tinca\"");
  EXPECT_EQ(ErrorOf("a/b x\n"),
            ", line 1: no class id; lines are expected as \"n01440764 tench, Tinca tinca\"");
  EXPECT_EQ(ErrorOf("a x\nb y\na z\n"), ", line 3: the class \"a\" is there twice");
  EXPECT_EQ(ErrorOf("a x\nb \xFF\n"), ", line 2: the name is not UTF-8");
  EXPECT_EQ(ErrorOf(" \n"), " lists no classes");
}

TEST_F(ClassListTest, FileThatCannotBeReadIsNamed) {
  EXPECT_EQ(test::ErrorOf([&] { ReadClassList(path()); }),
            "cannot open " + path().string() + ": No such file or directory");
}

TEST(ClassId, TextsThatFoldersAndTheManifestCanHoldAreIds) {
  for (const char* text : {"n01440764", "a b", "é", "0", "...", "a.tar"}) {
    EXPECT_TRUE(IsClassId(text)) << text;
  }
  for (const std::string_view text : std::vector<std::string_view>{
           "", ".", "..", "a/b", "a\nb", "\x7F", "\xFF", std::string_view("a\0b", 3)}) {
    EXPECT_FALSE(IsClassId(text)) << text;
  }
  EXPECT_TRUE(IsClassId(std::string(255, 'a')));
  EXPECT_FALSE(IsClassId(std::string(256, 'a')));
}

}  // namespace
}  // namespace millrace::storage
