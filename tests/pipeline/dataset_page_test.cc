#include "pipeline/dataset_page.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/hash.h"
#include "pipeline/html.h"
#include "tests/pipeline/summary_fixture.h"

namespace millrace::pipeline {
namespace {

using testing::HasSubstr;

class DatasetPageTest : public test::SummaryTest {
 protected:
  std::string Page() {
    const DatasetPage told = WriteDatasetPage(Summary(), file_);
    std::string page = ReadFile(file_);
    EXPECT_EQ(told.bytes, page.size());
    EXPECT_EQ(told.pictures, Count(page, "<img "));
    return page;
  }

  // Not a matcher: a page is too long to be printed.
  static bool Has(std::string_view page, std::string_view text) {
    return page.find(text) != std::string_view::npos;
  }

  static std::size_t Count(std::string_view text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string_view::npos;
         at = text.find(part, at + 1)) {
      ++count;
    }
    return count;
  }

  const std::filesystem::path file_ = folder_ / "page.html";
};

TEST_F(DatasetPageTest, ShowsFiguresClassesAndPictures) {
  const std::string page = Page();
  const auto manifest = storage::ReadManifest(dataset_);
  EXPECT_TRUE(Has(page, "<h1>data</h1>"));
  EXPECT_TRUE(Has(page, HashToHex(manifest.fingerprint)));
  EXPECT_TRUE(Has(page, "<dt>pictures</dt><dd>24</dd>"));
  EXPECT_TRUE(Has(page, "<dt>pictures per class</dt><dd>8</dd>"));
  EXPECT_TRUE(Has(page, "<dt>repaired</dt><dd>5</dd>"));
  EXPECT_TRUE(Has(page, "<tr><td>4:2:0</td><td class=\"n\">24</td>"));
  EXPECT_TRUE(Has(page, "<tr><td>truncated</td><td class=\"n\">5</td>"));
  EXPECT_TRUE(Has(page, "<title>192 to 223: 24</title>"));
  EXPECT_TRUE(Has(page, "<h4>truncated <small>5 of 5</small></h4>"));
  EXPECT_TRUE(Has(page, "<h4>n001 <small>label 1, 8 pictures</small></h4>"));
  // All are chosen, and those repaired are there twice.
  EXPECT_EQ(Count(page, "<img "), 24u + 5u);
  EXPECT_EQ(Count(page, "<mark>truncated</mark>"), 5u + 5u);
  EXPECT_TRUE(Has(page, "title=\"n002/17.JPEG, "));
  EXPECT_TRUE(Has(page, "<span>sample 17</span>"));
}

TEST_F(DatasetPageTest, LargePicturesAreMadeSmallerAndSmallOnesAreShownAsTheyAre) {
  const auto small = test::MakeJpeg({.width = 31, .height = 20});
  Rewrite([&](std::uint64_t id, storage::RecordView* record) {
    if (id == 7) record->payload = small;
  });
  const std::string page = Page();
  EXPECT_EQ(Count(page, "<img width=\"192\" height=\"128\""), 28u);
  EXPECT_TRUE(Has(page, "<img class=\"small\" width=\"31\" height=\"20\""));
  EXPECT_TRUE(Has(page, DataUri("image/jpeg", small)));
}

TEST_F(DatasetPageTest, PngPayloadsAreShownAsSuch) {
  const auto png = test::MakePng(40, 30, 1);
  Rewrite([&](std::uint64_t id, storage::RecordView* record) {
    if (id == 7) record->payload = png;
  });
  EXPECT_EQ(Count(Page(), "src=\"data:image/png;base64,"), 1u);
}

TEST_F(DatasetPageTest, SameDatasetGivesTheSamePage) {
  const std::string first = Page();
  EXPECT_TRUE(Page() == first);
}

TEST_F(DatasetPageTest, NamesAreTextWhateverTheyHold) {
  const std::string hostile = "\"><script>alert('x')</script>&\xFF";
  Rename({{"<b>", "<img src=x onerror=alert(1)>"}, {"n1", "' onload='x"}, {"n2", "c & d"}});
  Rewrite([&](std::uint64_t, storage::RecordView* record) { record->path = hostile; });
  WriteReport(
      R"({"train": {"bad": [{"file": "<i>", "fault": "<u>", "action": "<s>"}], "ignored": ["<tt>"]}})");
  const std::string page = Page();
  EXPECT_TRUE(
      Has(page, "title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\uFFFD, "));
  EXPECT_TRUE(Has(page, "<td>&lt;i&gt;</td><td>&lt;u&gt;</td><td>&lt;s&gt;</td>"));
  EXPECT_TRUE(Has(page, "c &amp; d"));
  for (const char* tag :
       {"<script", "<img src=x", "<b></", "' onload", "<i></", "<u>", "<s>", "<tt>"}) {
    EXPECT_FALSE(Has(page, tag)) << tag;
  }
}

TEST_F(DatasetPageTest, DamagedPicturesHaveASentenceInTheirPlace) {
  const std::vector<std::byte> noise(jpeg_.size(), std::byte{7});
  Rewrite([&](std::uint64_t id, storage::RecordView* record) {
    if (id == 7) record->payload = noise;
  });
  // One more with a flipped byte, which its hash tells.
  const auto shard = dataset_ / storage::ShardFileName("train", 1, 2);
  std::string bytes = ReadFile(shard);
  const std::string_view jpeg(reinterpret_cast<const char*>(jpeg_.data()), jpeg_.size());
  const auto at = bytes.find(jpeg);
  ASSERT_NE(at, std::string::npos);
  bytes[at + jpeg.size() / 2] ^= 1;
  test::WriteText(shard, bytes);
  const std::string page = Page();
  EXPECT_TRUE(Has(page, "<p class=\"bad\">a file of an unknown kind, not a JPEG"));
  EXPECT_TRUE(Has(page, "<p class=\"bad\">train-00001-of-00002.lmdb, key "));
  EXPECT_TRUE(Has(page, "<span>sample 7</span>"));
}

TEST_F(DatasetPageTest, PicturesTakeNoMoreRoomThanThereIs) {
  // Eight of each of twenty classes, none of which can be made smaller.
  constexpr std::uint32_t kClasses = 20;
  const auto png = test::MakePng(190, 190, 1);
  ASSERT_GT(160 * png.size(), kMostPictureBytes);
  const auto big = folder_ / "big";
  test::WriteDataset(big, 160, 1);
  auto manifest = storage::ReadManifest(big);
  manifest.classes.clear();
  for (std::uint32_t i = 0; i < kClasses; ++i) {
    manifest.classes.push_back({.id = fmt::format("n{:03}", i), .name = fmt::format("n{:03}", i)});
  }
  WriteFileAtomically(storage::ManifestPath(big), storage::ManifestText(manifest));
  test::RewriteShard(big, "train", 0, [&](std::uint64_t key, storage::RecordView* record) {
    record->label = static_cast<std::uint32_t>(key % kClasses);
    record->repairs = 0;
    record->payload = png;
  });
  const DatasetPage told = WriteDatasetPage(SummarizeDataset(big), file_);
  const std::string page = ReadFile(file_);
  EXPECT_LT(page.size(), kMostPictureBytes + (1u << 20));
  EXPECT_GT(page.size(), kMostPictureBytes / 2);
  EXPECT_EQ(told.pictures + Count(page, "no room left on this page"), 160u);
  // Every class has its share of what there is.
  std::size_t begin = page.find("<h4>");
  for (std::uint32_t i = 0; i < kClasses; ++i) {
    const std::size_t end = std::min(page.find("<h4>", begin + 1), page.size());
    EXPECT_GE(Count(std::string_view(page).substr(begin, end - begin), "<img "),
              told.pictures / kClasses);
    begin = end;
  }
}

TEST_F(DatasetPageTest, ManyClassesHaveABoxToScrollInAndAProfile) {
  std::vector<storage::ClassInfo> classes;
  for (int i = 0; i < 1000; ++i)
    classes.push_back({fmt::format("n{:03}", i), fmt::format("name {}", i)});
  Rename(classes);
  const std::string page = Page();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Has(
        page, fmt::format("<td class=\"n dim\">{}</td><td>name {}</td><td><code>n{:03}</code></td>",
                          i, i, i)));
  }
  EXPECT_EQ(Count(page, "<path "), 1u);
}

TEST_F(DatasetPageTest, LongListsOfTheReportAreCutOffWithTheirLength) {
  std::string bad;
  for (int i = 0; i < 5000; ++i) bad += fmt::format("{}\"file {}\"", i == 0 ? "" : ",", i);
  WriteReport("{\"train\": {\"bad\": [" + bad + "]}}");
  const std::string page = Page();
  EXPECT_TRUE(Has(page, "<h3>5,000 files not used</h3>"));
  EXPECT_TRUE(Has(page, "The first 200 of 5,000; the others are in report.json."));
  EXPECT_TRUE(Has(page, "<td>file 199</td>"));
  EXPECT_FALSE(Has(page, "<td>file 200</td>"));
}

TEST_F(DatasetPageTest, SplitWithoutRecordsHasAPageToo) {
  test::WriteDataset(folder_ / "empty", 0, 1);
  const DatasetPage told = WriteDatasetPage(SummarizeDataset(folder_ / "empty"), file_);
  EXPECT_EQ(told.pictures, 0u);
  EXPECT_TRUE(Has(ReadFile(file_), "<dt>pictures</dt><dd>0</dd>"));
}

TEST_F(DatasetPageTest, PageThatCannotBeWrittenIsAnError) {
  EXPECT_THAT(test::ErrorOf([&] { WriteDatasetPage(Summary(), folder_ / "none/page.html"); }),
              HasSubstr("none/page.html"));
}

}  // namespace
}  // namespace millrace::pipeline
