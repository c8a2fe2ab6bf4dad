#include "storage/sources/sample_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/storage/sources/source_fixture.h"

namespace millrace::storage {
namespace {

using test::WebdatasetStyle;
using testing::IsSubsetOf;

// Every layout of the same pictures, each in a folder of its own.
struct Layout {
  std::string name;
  std::string source;
  SourceOptions options;
  std::string kind;
};

class Layouts : public SourceTest {
 protected:
  static constexpr int kClasses = 12;  // the order of numbers as texts is another one

  void SetUp() override {
    test::MakeFolder(folder_ / "folder", pictures_);
    Add("folder", At("folder"), "image folder");
    Add("train", Write("train.tar", test::MakeTrainTar(pictures_)).string(),
        "ImageNet training tar");
    Add("train pax", Write("pax.tar", test::MakeTrainTar(pictures_, test::TarStyle::kPax)).string(),
        "ImageNet training tar");
    Add("val", Write("val.tar", test::MakeValTar(pictures_)).string(), "ImageNet validation tar");
    layouts_.back().options.devkit = Write("devkit.tar.gz", test::MakeDevkit(pictures_));
    const auto classes = Write("classes.txt", test::MakeSynsetMapping(pictures_));
    Add("numbered", At("numbered"), "image folder");
    const std::vector<std::string> ids = test::ClassIdsOf(pictures_);
    for (std::size_t number = 0; number < ids.size(); ++number) {
      std::filesystem::create_directories(folder_ / "numbered");
      std::filesystem::create_directory_symlink(folder_ / "folder" / ids[number],
                                                folder_ / "numbered" / std::to_string(number));
    }
    layouts_.back().options.classes = classes;
    const auto webdataset = [&](const std::string& name, WebdatasetStyle style, int tars,
                                bool gzip = false) {
      Add(name,
          WriteTars(name + "/t", test::MakeWebdataset(pictures_, style, tars, gzip),
                    gzip ? ".tar.gz" : ".tar"),
          "WebDataset");
      layouts_.back().options.classes = classes;
    };
    webdataset("numbers", WebdatasetStyle::kNumbers, 4);
    webdataset("texts", WebdatasetStyle::kTexts, 1);
    layouts_.back().source = At("texts/t-000.tar");
    webdataset("timm", WebdatasetStyle::kTimm, 3);
    webdataset("json", WebdatasetStyle::kJson, 9);
    layouts_.back().source = At("json");  // the folder
    webdataset("gzip", WebdatasetStyle::kNumbers, 2, true);
  }

  void Add(const std::string& name, const std::string& source, const std::string& kind) {
    layouts_.push_back({.name = name, .source = source, .options = {}, .kind = kind});
  }

  const std::vector<test::MadePicture> pictures_ = test::MakeSmallPictures(kClasses, 6);
  std::vector<Layout> layouts_;
};

TEST_F(Layouts, AllGiveTheSameClassesAndContents) {
  const Contents expected = ContentsOf(pictures_);
  ASSERT_EQ(expected.size(), pictures_.size());
  for (const Layout& layout : layouts_) {
    const auto source = OpenSource(layout.source, layout.options);
    EXPECT_EQ(source->facts().kind, layout.kind);
    EXPECT_EQ(ContentsOf(Drain(*source)), expected) << layout.name;
    EXPECT_TRUE(source->ignored().empty()) << layout.name << ": " << source->ignored().front();
  }
}

TEST_F(Layouts, PartsGiveEachItemOnceAndAgreeOnTheRest) {
  for (const Layout& layout : layouts_) {
    const auto whole_source = OpenSource(layout.source, layout.options);
    const auto whole = Drain(*whole_source);
    for (std::uint32_t parts = 1; parts <= 7; ++parts) {
      std::vector<SourceItem> joined;
      std::uint64_t bytes = 0;
      for (std::uint32_t i = 0; i < parts; ++i) {
        SourceOptions options = layout.options;
        options.part = {.index = i, .count = parts};
        const auto source = OpenSource(layout.source, options);
        EXPECT_EQ(source->facts().identity, whole_source->facts().identity) << layout.name;
        bytes += source->facts().total_bytes;
        for (auto& item : Drain(*source)) joined.push_back(std::move(item));
      }
      EXPECT_EQ(bytes, whole_source->facts().total_bytes);
      ASSERT_EQ(joined.size(), whole.size()) << layout.name << ", " << parts;
      for (std::size_t i = 0; i < whole.size(); ++i) {
        EXPECT_EQ(joined[i].position, whole[i].position);
        EXPECT_EQ(joined[i].class_id, whole[i].class_id);
        EXPECT_EQ(joined[i].path, whole[i].path);
        EXPECT_EQ(joined[i].origin, whole[i].origin);
        EXPECT_EQ(joined[i].content, whole[i].content);
      }
    }
  }
}

TEST_F(Layouts, MorePartsThanPiecesLeaveSomeEmpty) {
  for (const Layout& layout : layouts_) {
    std::size_t items = 0;
    for (std::uint32_t i = 0; i < 100; ++i) {
      SourceOptions options = layout.options;
      options.part = {.index = i, .count = 100};
      items += Drain(*OpenSource(layout.source, options)).size();
    }
    EXPECT_EQ(items, pictures_.size()) << layout.name;
  }
}

TEST_F(Layouts, ItemsThatAreNotWantedArePassedOver) {
  for (const Layout& layout : layouts_) {
    const auto all = Drain(*OpenSource(layout.source, layout.options));
    std::set<std::uint64_t> had;
    for (std::size_t i = 0; i < all.size(); i += 1 + i % 3) had.insert(all[i].position);
    std::multiset<std::uint64_t> asked;
    const auto rest = Drain(*OpenSource(layout.source, layout.options), [&](std::uint64_t at) {
      asked.insert(at);
      return !had.contains(at);
    });
    EXPECT_EQ(asked.size(), all.size()) << layout.name << ": each item is asked for once";
    ASSERT_EQ(rest.size(), all.size() - had.size()) << layout.name;
    std::size_t next = 0;
    for (const auto& item : all) {
      EXPECT_EQ(asked.count(item.position), 1u);
      if (had.contains(item.position)) continue;
      EXPECT_EQ(rest[next].position, item.position);
      EXPECT_EQ(rest[next].class_id, item.class_id);
      EXPECT_EQ(rest[next].content, item.content);
      ++next;
    }
  }
}

TEST_F(Layouts, NamesComeFromDevkitAndClassList) {
  const auto classes = Write("mine.txt", "n01440764 tench\n");
  const auto devkit = Write("devkit.tar.gz", test::MakeDevkit(pictures_));
  for (const Layout& layout : layouts_) {
    // These need all the classes.
    if (layout.name == "numbers" || layout.name == "gzip" || layout.name == "numbered") continue;
    SourceOptions options{.devkit = devkit, .classes = classes, .part = {}};
    const auto source = OpenSource(layout.source, options);
    const ClassNames& names = source->facts().class_names;
    EXPECT_EQ(names.size(), std::size_t{kClasses});
    EXPECT_EQ(names.at("n01440764"), "tench");
    EXPECT_EQ(names.at("n01441765"), "words of n01441765, and more");
  }
}

TEST_F(Layouts, DevkitSaysWhatClassNumbersMean) {
  SourceOptions options{
      .devkit = Write("devkit.tar.gz", test::MakeDevkit(pictures_)), .classes = {}, .part = {}};
  EXPECT_EQ(ContentsOf(Drain(*OpenSource(At("numbers"), options))), ContentsOf(pictures_));
}

TEST_F(Layouts, IdentityChangesWithWhatDecidesTheContent) {
  for (const Layout& layout : layouts_) {
    const std::uint64_t identity = OpenSource(layout.source, layout.options)->facts().identity;
    EXPECT_EQ(OpenSource(layout.source, layout.options)->facts().identity, identity);
  }
  std::set<std::uint64_t> all;
  for (const Layout& layout : layouts_) {
    all.insert(OpenSource(layout.source, layout.options)->facts().identity);
  }
  EXPECT_EQ(all.size(), layouts_.size());

  // Another label, another number's meaning, another time.
  const Layout& val = layouts_[3];
  auto others = pictures_;
  std::swap(others[0].class_id, others[1].class_id);
  SourceOptions options{
      .devkit = Write("other.tar.gz", test::MakeDevkit(others)), .classes = {}, .part = {}};
  EXPECT_NE(OpenSource(val.source, options)->facts().identity,
            OpenSource(val.source, val.options)->facts().identity);
  EXPECT_NE(OpenSource(At("numbers"), {})->facts().identity,
            OpenSource(At("numbers"), layouts_[4].options)->facts().identity);
  const std::uint64_t before = OpenSource(At("train.tar"))->facts().identity;
  std::filesystem::last_write_time(
      At("train.tar"), std::filesystem::file_time_type::min() + std::chrono::hours(24 * 365 * 200));
  EXPECT_NE(OpenSource(At("train.tar"))->facts().identity, before);
}

// What the process reads for passing over everything, beyond opening.
TEST_F(Layouts, UncompressedTarsAreSoughtNotRead) {
  if (!BytesReadSoFar()) GTEST_SKIP() << "/proc/self/io is not there";
  std::vector<test::MadePicture> large;
  for (int i = 0; i < 12; ++i) {
    large.push_back({.class_id = "n0000000" + std::to_string(i % 3),
                     .name = std::to_string(i) + ".JPEG",
                     .bytes = std::vector<std::byte>(1 << 20, std::byte{1})});
  }
  const auto devkit = Write("large-devkit.tar.gz", test::MakeDevkit(large));
  const std::vector<std::string> sources = {
      Write("large-train.tar", test::MakeTrainTar(large)).string(),
      Write("large-val.tar", test::MakeValTar(large)).string(),
      WriteTars("large", test::MakeWebdataset(large, WebdatasetStyle::kTimm, 2))};
  for (const auto& name : sources) {
    const std::uint64_t before = *BytesReadSoFar();
    const auto source = OpenSource(name, {.devkit = devkit, .classes = {}, .part = {}});
    EXPECT_TRUE(Drain(*source, [](std::uint64_t) { return false; }).empty());
    EXPECT_LT(*BytesReadSoFar() - before, 1u << 20) << name;
  }
}

TEST(TakeContent, FaultsAndFilesThatChangedAreResults) {
  const test::TemporaryFolder folder;
  SourceItem item;
  item.fault = Fault{"no class"};
  EXPECT_EQ(TakeContent(item).fault().message, "no class");
  item.fault.reset();
  item.file = folder / "x.jpg";
  item.bytes = 3;
  EXPECT_EQ(TakeContent(item).fault().message,
            "cannot open " + item.file.string() + ": No such file or directory");
  for (const char* text : {"12", "1234"}) {
    test::WriteText(item.file, text);
    EXPECT_EQ(TakeContent(item).fault().message, "changed while it was being converted");
  }
  test::WriteText(item.file, "123");
  EXPECT_EQ(TakeContent(item).value(), Bytes("123"));
}

TEST(IgnoredFiles, ListIsBounded) {
  IgnoredFiles ignored;
  for (int i = 0; i < 20'000; ++i) ignored.Add(std::to_string(i));
  ASSERT_EQ(ignored.names().size(), 10'001u);
  EXPECT_EQ(ignored.names().back(), "(more that are not listed)");
}

}  // namespace
}  // namespace millrace::storage
