#include "storage/sources/webdataset_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/sources/source_fixture.h"

namespace millrace::storage {
namespace {

using test::TarEntry;
using test::TarEntryKind;
using test::WebdatasetStyle;
using testing::ElementsAre;
using testing::HasSubstr;

TarEntry File(const std::string& name, std::string_view text) {
  return {.name = name, .bytes = Bytes(text)};
}

class WebdatasetTest : public SourceTest {
 protected:
  std::string WriteTar(const std::vector<TarEntry>& entries, bool gzip = false) const {
    return Write("w.tar", test::MakeTar(entries, test::TarStyle::kPax, gzip)).string();
  }

  // "<path>: <content or fault>" of all items.
  static std::vector<std::string> Describe(SampleSource& source) {
    std::vector<std::string> lines;
    for (auto& item : Drain(source)) {
      const auto bytes = TakeContent(item);
      lines.push_back(item.path + ": ");
      lines.back() += bytes.ok()
                          ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size())
                          : bytes.fault().message;
    }
    return lines;
  }
};

TEST_F(WebdatasetTest, NamesAreCutAtTheFirstDotOfTheBaseName) {
  const auto split = [](std::string_view name) {
    const SampleName cut = SplitSampleName(name);
    return std::string(cut.sample) + "|" + cut.extension;
  };
  EXPECT_EQ(split("0001.jpg"), "0001|jpg");
  EXPECT_EQ(split("a.b/0001.seg.PNG"), "a.b/0001|seg.png");
  EXPECT_EQ(split("n01_1.JPEG"), "n01_1|jpeg");
  EXPECT_EQ(split("0001"), "0001|");
  EXPECT_EQ(split("a/.hidden"), "a/.hidden|");
  EXPECT_EQ(split("__info__"), "__info__|");
  EXPECT_EQ(split("__x__/a.json"), "__x__/a.json|");
  EXPECT_EQ(split("__a.jpg"), "__a|jpg");
}

TEST_F(WebdatasetTest, OrderOfTheFilesOfASampleDoesNotMatter) {
  const std::string json = R"({"wnid": "n01"})";
  for (const bool gzip : {false, true}) {
    const auto source = OpenSource(
        WriteTar({File("a.jpg", "1"), File("a.json", json), File("a.cls", "x"), File("b.cls", "y"),
                  File("b.JPEG", "2"), File("c.txt", "caption"), File("c.png", "3"),
                  File("c.cls", "z"), File("d/e.cls", "7"), File("d/e.jpg", "4")},
                 gzip));
    EXPECT_THAT(Describe(*source),
                ElementsAre("n01/a.jpg: 1", "y/b.JPEG: 2", "z/c.png: 3", "00007/e.jpg: 4"));
    EXPECT_TRUE(source->ignored().empty());
  }
}

TEST_F(WebdatasetTest, SamplesThatAreNotWholeAreFaultsOrListed) {
  const std::string tar =
      WriteTar({File("a.cls", "x"), File("a.jpg", "1"), File("b.jpg", "2"), File("c.cls", "x"),
                File("d.cls", "x"), File("d.jpg", "3"), File("d.png", "4"), File("e.jpg", "5"),
                File("e.json", "{"), File("d.cls", "y"), File("f.cls", "-1"), File("f.jpg", "6")});
  const auto source = OpenSource(tar);
  EXPECT_THAT(Describe(*source),
              ElementsAre("x/a.jpg: 1",
                          "b.jpg: there is no class beside it, in a .cls or .json of the same name",
                          "x/d.jpg: 3", "e.jpg: its .json is not JSON",
                          "f.jpg: what it has for a class is no class id"));
  EXPECT_THAT(source->ignored(), ElementsAre(tar + ": c (no picture)",
                                             tar + ": d.png (a second picture of its sample)",
                                             tar + ": d (no picture)"));
}

TEST_F(WebdatasetTest, OddMembersAreListedAndDoNotPartASample) {
  const std::string tar = WriteTar(
      {File("__info__", "x"),
       File("a.cls", "x"),
       File("._a.cls", "mac"),
       {.name = "folder/", .bytes = {}, .kind = TarEntryKind::kFolder},
       {.name = "l.jpg", .bytes = {}, .kind = TarEntryKind::kSymbolicLink, .target = "a.jpg"},
       File("README", "x"),
       File("a.jpg", "1")});
  const auto source = OpenSource(tar);
  EXPECT_THAT(Describe(*source), ElementsAre("x/a.jpg: 1"));
  EXPECT_THAT(source->ignored(), ElementsAre(tar + ": __info__", tar + ": ._a.cls",
                                             tar + ": l.jpg (a symbolic link)", tar + ": README"));
}

TEST_F(WebdatasetTest, SamplesOfTwoTarsAreNotJoined) {
  Write("t-0.tar", test::MakeTar(std::vector<TarEntry>{File("a.cls", "x"), File("a.jpg", "1"),
                                                       File("b.cls", "x")}));
  Write("t-1.tar", test::MakeTar(std::vector<TarEntry>{File("b.jpg", "2"), File("a.cls", "y"),
                                                       File("a.jpg", "3")}));
  const auto source = OpenSource(At("t-{0..1}.tar"));
  EXPECT_THAT(Describe(*source),
              ElementsAre("x/a.jpg: 1",
                          "b.jpg: there is no class beside it, in a .cls or .json of the same name",
                          "y/a.jpg: 3"));
}

TEST_F(WebdatasetTest, LabelFileThatIsTooLargeIsAFault) {
  const std::string tar =
      WriteTar({File("a.cls", "x"), File("a.jpg", "1"),
                File("b.cls", std::string((1 << 20) + 1, 'x')), File("b.jpg", "2")});
  EXPECT_THAT(Describe(*OpenSource(tar)),
              ElementsAre("x/a.jpg: 1", "b.jpg: " + tar + ": b.cls has 1.0 MiB"));
}

TEST_F(WebdatasetTest, ClassNumberOutsideOfTheListIsAnErrorWithTheSample) {
  const std::string tar = WriteTar({File("a.cls", "2"), File("a.jpg", "1")});
  const SourceOptions options{
      .devkit = {}, .classes = Write("classes.txt", "n01\nn02\n"), .part = {}};
  EXPECT_EQ(ErrorOf(tar, options), tar + ": a.jpg: there is a class number 2, but " +
                                       At("classes.txt") + " lists 2 classes, numbered from 0");
}

TEST_F(WebdatasetTest, TarWithoutPicturesIsNamed) {
  EXPECT_EQ(ErrorOf(WriteTar({File("a.cls", "x"), File("a.mp4", "1")})),
            At("w.tar") + " holds no samples with a picture (.jpg, .jpeg, .png)");
}

TEST_F(WebdatasetTest, CutOffTarIsAnErrorAndNeverFewerSamples) {
  const auto pictures = test::MakeSmallPictures(2, 3);
  for (const bool gzip : {false, true}) {
    const auto whole = test::MakeWebdataset(pictures, WebdatasetStyle::kTimm, 1, gzip)[0];
    Write("w.tar", whole);
    const auto all = Drain(*OpenSource(At("w.tar")));
    for (std::size_t size = 300; size < whole.size(); size += gzip ? 37 : 256) {
      Write("w.tar", std::span(whole).first(size));
      std::size_t items = 0;
      const std::string error = test::ErrorOf([&] {
        const auto source = OpenSource(At("w.tar"));
        while (const auto item = source->Next(Everything)) {
          EXPECT_EQ(item->content, all.at(items).content);
          ++items;
        }
      });
      // What is left out is the end mark, or the checksum of the gzip.
      if (error.empty()) {
        EXPECT_EQ(items, all.size()) << size;
      } else {
        EXPECT_THAT(error, HasSubstr(At("w.tar"))) << size;
      }
    }
  }
}

}  // namespace
}  // namespace millrace::storage
