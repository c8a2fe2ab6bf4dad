#include "storage/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/build_info.h"
#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"

namespace millrace::storage {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

Manifest MakeManifest() {
  Manifest manifest{
      .tool_version = "1.2.3",
      .fingerprint = 0,
      .classes = {{"n01440764", "tench"}, {"été", "summer"}},
      .splits = {{"train",
                  {.records = 5,
                   .fingerprint = 0x0123456789abcdef,
                   .shards = {{"train-00000-of-00002.lmdb", 3, 16384, 1},
                              {"train-00001-of-00002.lmdb", 2, 12288, ~std::uint64_t{0}}},
                   .conversion = {.seed = ~std::uint64_t{0},
                                  .on_bad = "skip",
                                  .variant = "as it came",
                                  .left_out = 2,
                                  .plan = 9}}}}};
  manifest.fingerprint = DatasetFingerprint(manifest);
  return manifest;
}

TEST(Manifest, RoundTripKeepsEverything) {
  const Manifest manifest = MakeManifest();
  EXPECT_EQ(ParseManifest(ManifestText(manifest), "manifest.json"), manifest);
}

TEST(Manifest, KeysOfLaterAdditionsArePassedOver) {
  Json json = Json::parse(ManifestText(MakeManifest()));
  json["splits"]["train"]["new"] = 1;
  EXPECT_EQ(ParseManifest(json.dump(), "manifest.json"), MakeManifest());
}

std::string ErrorOfText(const std::string& text) {
  return test::ErrorOf([&] { (void)ParseManifest(text, "d/manifest.json"); });
}

TEST(Manifest, NewerVersionIsNamedBeforeAnythingElse) {
  EXPECT_EQ(ErrorOfText(R"({"format": "millrace dataset", "format_version": 2})"),
            fmt::format("d/manifest.json: format_version is 2, and this program ({}) reads version "
                        "1; use a newer millrace",
                        BuildVersion()));
}

TEST(Manifest, VersionZeroIsRefused) {
  EXPECT_THAT(ErrorOfText(R"({"format": "millrace dataset", "format_version": 0})"),
              HasSubstr("format_version is 0"));
}

// Every key of the document, as JSON pointers.
void CollectPointers(const Json& json, const std::string& at, std::vector<std::string>* pointers) {
  if (!at.empty()) pointers->push_back(at);
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) CollectPointers(value, at + "/" + key, pointers);
  } else if (json.is_array()) {
    for (std::size_t i = 0; i < json.size(); ++i) {
      CollectPointers(json[i], at + "/" + std::to_string(i), pointers);
    }
  }
}

TEST(Manifest, AnyKeyOfTheWrongTypeIsNamed) {
  const Json good = Json::parse(ManifestText(MakeManifest()));
  std::vector<std::string> pointers;
  CollectPointers(good, "", &pointers);
  ASSERT_GT(pointers.size(), 25u);
  for (const auto& pointer : pointers) {
    for (const Json& wrong : {Json(nullptr), Json(-1), Json(1.5), Json(true)}) {
      Json json = good;
      json[Json::json_pointer(pointer)] = wrong;
      const std::string key = pointer.substr(pointer.find_last_of('/') + 1);
      EXPECT_THAT(ErrorOfText(json.dump()), AllOf(StartsWith("d/manifest.json: "), HasSubstr(key)))
          << pointer << " as " << wrong;
    }
  }
}

TEST(Manifest, WithoutVariantPicturesAreAsTheyCame) {
  Json json = Json::parse(ManifestText(MakeManifest()));
  json["splits"]["train"]["conversion"].erase("variant");
  EXPECT_EQ(ParseManifest(json.dump(), "d/manifest.json").splits["train"].conversion.variant,
            "as it came");
}

TEST(Manifest, AnyMissingKeyIsNamed) {
  Json good = Json::parse(ManifestText(MakeManifest()));
  good["splits"]["train"]["conversion"].erase("variant");  // earlier versions did not write it
  std::vector<std::string> pointers;
  CollectPointers(good, "", &pointers);
  for (const auto& pointer : pointers) {
    const Json::json_pointer full(pointer);
    if (!good[full.parent_pointer()].is_object() || full.back() == "train") continue;
    Json json = good;
    json[full.parent_pointer()].erase(full.back());
    EXPECT_THAT(ErrorOfText(json.dump()),
                AllOf(StartsWith("d/manifest.json"),
                      HasSubstr(fmt::format("lacks the key \"{}\"", full.back()))))
        << pointer;
  }
}

TEST(Manifest, PositionInTheDocumentIsNamed) {
  Json json = Json::parse(ManifestText(MakeManifest()));
  json["splits"]["train"]["shards"][1]["bytes"] = "many";
  EXPECT_EQ(ErrorOfText(json.dump()),
            "d/manifest.json: splits.train.shards[1].bytes is not a whole number of at least 0; "
            "restore the file or convert again");
}

TEST(Manifest, ContradictionsAreNamed) {
  const Json good = Json::parse(ManifestText(MakeManifest()));
  const auto error_with = [&](const char* pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return ErrorOfText(json.dump());
  };
  EXPECT_THAT(error_with("/splits/train/records", 6),
              HasSubstr("splits.train.records is 6, but its shards hold 5 records"));
  EXPECT_THAT(error_with("/classes/0/id", "日"), HasSubstr("classes[1] breaks the order"));
  EXPECT_THAT(error_with("/classes", Json::array()), HasSubstr("classes is empty"));
  EXPECT_THAT(error_with("/splits/train/shards", Json::array()), HasSubstr("1 to 4096 shards"));
  EXPECT_THAT(error_with("/splits/train/shards/0/file", "../x"), HasSubstr("is not a file name"));
  EXPECT_THAT(error_with("/fingerprint", "0000000000000000"),
              HasSubstr("fingerprint does not follow from the splits' fingerprints"));
  EXPECT_THAT(error_with("/format", "something"), HasSubstr("format is not \"millrace dataset\""));
}

TEST(Manifest, AnyTruncationIsRefused) {
  const std::string text = ManifestText(MakeManifest());
  for (std::size_t size = 0; size + 2 < text.size(); ++size) {
    EXPECT_EQ(ErrorOfText(text.substr(0, size)),
              "d/manifest.json is not valid JSON; restore the file or convert again");
  }
}

TEST(Manifest, FolderWithoutOneIsNotADataset) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::ErrorOf([&] { (void)ReadManifest(folder.path()); }),
              HasSubstr("is not a dataset: it has no manifest.json; make one with"));
  EXPECT_FALSE(ReadManifestIfAny(folder.path()).has_value());
}

TEST(Manifest, UnknownSplitListsThoseThereAre) {
  EXPECT_EQ(test::ErrorOf([&] { (void)FindSplit(MakeManifest(), "test", "d"); }),
            "d has no split \"test\" (it has: train)");
}

TEST(SplitFingerprint, ChangesWithOrderLabelsHashesAndClasses) {
  const auto digest = [](const std::vector<ClassInfo>& classes,
                         const std::vector<std::pair<std::uint64_t, std::uint64_t>>& records) {
    SplitFingerprint fingerprint(classes);
    for (const auto& [label, hash] : records) fingerprint.Add(label, hash);
    return fingerprint.Digest();
  };
  const std::vector<ClassInfo> classes = {{"a", "a"}, {"b", "b"}};
  const auto base = digest(classes, {{0, 1}, {1, 2}});
  EXPECT_EQ(base, digest({{"a", "other name"}, {"b", "b"}}, {{0, 1}, {1, 2}}));
  EXPECT_NE(base, digest(classes, {{1, 2}, {0, 1}}));
  EXPECT_NE(base, digest(classes, {{0, 1}, {0, 2}}));
  EXPECT_NE(base, digest(classes, {{0, 1}, {1, 3}}));
  EXPECT_NE(base, digest(classes, {{0, 1}}));
  EXPECT_NE(base, digest({{"ab", "a"}, {"", "b"}}, {{0, 1}, {1, 2}}));
}

}  // namespace
}  // namespace millrace::storage
