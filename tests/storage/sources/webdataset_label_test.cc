#include "storage/sources/webdataset_label.h"

#include <gtest/gtest.h>

#include "tests/support/error_text.h"

namespace millrace::storage {
namespace {

const ClassList kNoList;

ClassList TwoClasses() { return {.ids = {"n02", "n01"}, .names = {}, .origin = "classes.txt"}; }

// The class id, or the fault.
std::string ClassOf(const WebdatasetLabel& label, const ClassList& classes = kNoList) {
  const auto id = WebdatasetClass(label, classes);
  return id.ok() ? *id : "fault: " + id.fault().message;
}

std::string ClassOfJson(const char* json, const ClassList& classes = kNoList) {
  return ClassOf({.cls = std::nullopt, .json = json}, classes);
}

TEST(WebdatasetLabel, TextsAreIds) {
  EXPECT_EQ(ClassOf({.cls = "n01440764\r\n", .json = {}}), "n01440764");
  EXPECT_EQ(ClassOf({.cls = " golden retriever ", .json = {}}), "golden retriever");
  for (const char* key : {"wnid", "synset", "synset_id", "class_id"}) {
    EXPECT_EQ(ClassOfJson((std::string("{\"") + key + "\": \"n01\"}").c_str()), "n01") << key;
  }
  EXPECT_EQ(ClassOfJson(R"({"label": "cat"})"), "cat");
}

TEST(WebdatasetLabel, FileNameOfTimmsImagenetIsAnId) {
  const char* json =
      R"({"filename": "n02018795/n02018795_1761.JPEG", "height": 333, "label": 138})";
  EXPECT_EQ(ClassOfJson(json), "n02018795");
  EXPECT_EQ(ClassOf({.cls = "138", .json = json}), "n02018795");
  // Other folders say nothing of the class.
  EXPECT_EQ(ClassOfJson(R"({"filename": "train/x.JPEG", "label": 138})"), "00138");
  EXPECT_EQ(ClassOfJson(R"({"filename": "n02018795", "label": 138})"), "00138");
}

TEST(WebdatasetLabel, NumbersAreLookedUpInTheList) {
  EXPECT_EQ(ClassOf({.cls = "0", .json = {}}, TwoClasses()), "n02");
  EXPECT_EQ(ClassOf({.cls = "001\n", .json = {}}, TwoClasses()), "n01");
  EXPECT_EQ(ClassOfJson(R"({"label": 1})", TwoClasses()), "n01");
  EXPECT_EQ(ClassOfJson(R"({"class_id": 1})", TwoClasses()), "n01");
  EXPECT_EQ(ClassOfJson(R"({"class_id": "1"})", TwoClasses()), "n01");
  for (const char* number : {"2", "99999999999999999999999999"}) {
    EXPECT_EQ(test::ErrorOf([&] { ClassOf({.cls = number, .json = {}}, TwoClasses()); }),
              std::string("there is a class number ") + number +
                  ", but classes.txt lists 2 classes, numbered from 0");
  }
}

TEST(WebdatasetLabel, NumbersWithoutAListBecomeIdsInTheirOrder) {
  EXPECT_EQ(ClassOf({.cls = "0", .json = {}}), "00000");
  EXPECT_EQ(ClassOf({.cls = "0000", .json = {}}), "00000");
  EXPECT_EQ(ClassOf({.cls = "7", .json = {}}), "00007");
  EXPECT_EQ(ClassOf({.cls = "21840", .json = {}}), "21840");
  EXPECT_EQ(test::ErrorOf([] { ClassOf({.cls = "100000", .json = {}}); }),
            "the class number 100000 has more than 5 digits; give the class ids with --classes");
}

TEST(WebdatasetLabel, SamplesWithoutAClassAreFaults) {
  const std::string none =
      "fault: there is no class beside it, in a .cls or .json of the same name";
  EXPECT_EQ(ClassOf({}), none);
  EXPECT_EQ(ClassOf({.cls = " \n", .json = {}}), none);
  for (const char* json : {"{}", "[]", "3", "null", R"({"label": 1.5})", R"({"label": null})"}) {
    EXPECT_EQ(ClassOfJson(json), none) << json;
  }
  for (const char* json : {"", "{", "\xFF", R"({"wnid": "\ud800"})"}) {
    EXPECT_EQ(ClassOfJson(json), "fault: its .json is not JSON") << json;
  }
  EXPECT_EQ(ClassOfJson(std::string(1 << 20, '[').c_str()), "fault: its .json is not JSON");
  for (const char* cls : {"-1", "..", "a/b", "\x80\x04K\x07."}) {
    EXPECT_EQ(ClassOf({.cls = cls, .json = {}}), "fault: what it has for a class is no class id");
  }
}

}  // namespace
}  // namespace millrace::storage
