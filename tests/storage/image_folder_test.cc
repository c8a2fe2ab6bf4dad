#include "storage/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::storage {
namespace {

namespace fs = std::filesystem;
using test::WriteText;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> PathsOf(const ImageFolder& folder) {
  std::vector<std::string> paths;
  for (const auto& file : folder.files) paths.push_back(file.path);
  return paths;
}

TEST(ImageFolder, ClassesAndFilesAreSortedByTheirBytes) {
  const test::TemporaryFolder folder;
  for (const char* name :
       {"b/2.jpg", "b/10.JPEG", "a/x.jpeg", "Z/1.png", "é/ü.jpg", "a/sub/y.jpg"}) {
    WriteText(folder / name, "123");
  }
  const auto listed = ListImageFolder(folder.path());
  EXPECT_THAT(listed.classes, ElementsAre("Z", "a", "b", "é"));
  EXPECT_THAT(PathsOf(listed),
              ElementsAre("Z/1.png", "a/sub/y.jpg", "a/x.jpeg", "b/10.JPEG", "b/2.jpg", "é/ü.jpg"));
  EXPECT_EQ(listed.files[3].label, 2u);
  EXPECT_EQ(listed.files[3].bytes, 3u);
  EXPECT_GT(listed.files[3].modified_ns, 0);
}

TEST(ImageFolder, HiddenFilesArePassedOverAndOthersNamed) {
  const test::TemporaryFolder folder;
  for (const char* name : {"a/1.jpg", "a/.2.jpg", "a/notes.txt", ".git/x.jpg", "README"}) {
    WriteText(folder / name, "x");
  }
  const auto listed = ListImageFolder(folder.path());
  EXPECT_THAT(PathsOf(listed), ElementsAre("a/1.jpg"));
  EXPECT_THAT(listed.ignored, ElementsAre("README", "a/notes.txt"));
}

TEST(ImageFolder, SymbolicLinksAreFollowed) {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder elsewhere;
  WriteText(elsewhere / "class/1.jpg", "four");
  fs::create_directories(folder / "b");
  fs::create_directory_symlink(elsewhere / "class", folder / "a");
  fs::create_symlink(elsewhere / "class/1.jpg", folder / "b/2.jpg");
  fs::create_symlink("nowhere", folder / "b/3.jpg");
  const auto listed = ListImageFolder(folder.path());
  EXPECT_THAT(PathsOf(listed), ElementsAre("a/1.jpg", "b/2.jpg", "b/3.jpg"));
  EXPECT_EQ(listed.files[1].bytes, 4u);
}

std::string ErrorOf(const fs::path& root) {
  return test::ErrorOf([&] { (void)ListImageFolder(root); });
}

TEST(ImageFolder, SymbolicLinkThatLeadsBackUpIsNamed) {
  const test::TemporaryFolder folder;
  WriteText(folder / "a/1.jpg", "x");
  fs::create_directory_symlink(folder / "a", folder / "a/loop");
  EXPECT_THAT(ErrorOf(folder.path()), HasSubstr("does a symbolic link lead back up?"));
}

TEST(ImageFolder, FoldersThatCannotBeUsedAreNamed) {
  const test::TemporaryFolder folder;
  const std::string root = folder.path().string();
  EXPECT_EQ(ErrorOf(folder / "missing"), "there is no folder " + root + "/missing");
  WriteText(folder / "file", "x");
  EXPECT_EQ(ErrorOf(folder / "file"), root + "/file is not a folder");
  EXPECT_EQ(ErrorOf(folder.path()), root + " has no class folders; pictures are expected as " +
                                        root + "/<class>/<picture>.jpg");
  WriteText(folder / "a/1.jpg", "x");
  fs::create_directories(folder / "b");
  EXPECT_EQ(ErrorOf(folder.path()),
            "the class folder " + root + "/b holds no pictures; remove it or fill it");
}

TEST(ImageFolder, FolderOfSplitsIsNotTakenForClasses) {
  const test::TemporaryFolder folder;
  WriteText(folder / "train/a/1.jpg", "x");
  WriteText(folder / "val/a/1.jpg", "x");
  EXPECT_THAT(ErrorOf(folder.path()),
              AllOf(HasSubstr("holds splits, not classes"), HasSubstr("/train")));
}

}  // namespace
}  // namespace millrace::storage
