#include "pipeline/report/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "base/folder_lock.h"
#include "base/hash.h"
#include "pipeline/report/page.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using test::ErrorOf;
using testing::HasSubstr;
using testing::Not;

// A run's folder as a run on LoaderTest's dataset would leave it.
class RunReportTest : public test::LoaderTest {
 protected:
  void SetUp() override {
    LoaderTest::SetUp();
    CreateFolders(run_);
    (void)LoadRecipe();
    std::filesystem::copy_file(folder_ / "recipe.toml", run_ / "config.toml");
    test::WriteText(run_ / "environment.json",
                    R"({"recipe": "cats & dogs", "dataset": ")" + dataset_.string() +
                        R"(", "dataset_fingerprint": ")" +
                        HashToHex(storage::ReadManifest(dataset_).fingerprint) +
                        R"(", "lanes": 2})");
    test::WriteText(run_ / "metrics.jsonl",
                    R"({"group":"train","step":10,"epoch":1,"loss":1.25,"lr":0.1}
{"group":"val","step":10,"epoch":1,"top1":0.5,"top5":0.75,"loss":1.5,"samples":8.0,"macro_f1":0.25}
{"group":"train","step":20,"epoch":2,"loss":0.75,"lr":0.05}
{"group":"val","step":20,"epoch":2,"top1":0.375,"top5":1.0,"loss":1.75,"samples":8.0,"macro_f1":0.4}
)");
    test::WriteText(
        run_ / "timings.jsonl",
        R"({"group":"train","step":10,"epoch":1,"images_per_s":1234.4,"data_wait_share":0.125}
)");
    RunStatus status = RunStatus::Begin({}, 0, 20, 1'700'000'000, 0);
    status.End(RunStatus::State::kFinished, 20, "", 1'700'000'090, 90);
    WriteStatus(status);
    WriteEvaluation(20);
  }

  void WriteStatus(const RunStatus& status) const {
    test::WriteText(run_ / "status.json", status.ToJson());
  }
  void WriteEvaluation(std::uint64_t step) const {
    const EvaluationRecord record{
        .step = step,
        .epoch = 2,
        .split = "val",
        .samples = 8,
        .top1 = 3,
        .top5 = 8,
        .unanswered = 0,
        .classes = {{"n1", "<tabby>", 4, 2}, {"n2", "lynx", 2, 1}, {"n3", "puma", 2, 0}},
        .mistakes = {{2, 0, 2}, {0, 1, 1}},
        .hardest = {{.sample = 5,
                     .truth = {2, 0.125},
                     .said = EvaluationRecord::Guess{0, 0.75},
                     .next = EvaluationRecord::Guess{1, 0.125},
                     .loss = 2.5},
                    {.sample = 3, .truth = {0, 0.5}, .said = {}, .next = {}, .loss = 2}},
        .most_confused = {{.sample = 1,
                           .truth = {0, 0.5},
                           .said = EvaluationRecord::Guess{0, 0.5},
                           .next = EvaluationRecord::Guess{1, 0.5},
                           .loss = 0.7}}};
    test::WriteText(run_ / "evaluation.json", record.ToJson());
  }
  std::string Page() const { return RunReportPage(GatherRunReport(run_)); }

  const std::filesystem::path run_ = folder_ / "run";
};

TEST_F(RunReportTest, TellsTheRunInFigures) {
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("<h1>cats &amp; dogs</h1>"));
  EXPECT_THAT(page, HasSubstr("<b class=\"state\">finished</b> at step 20 of 20; began 2023-11-14 "
                              "22:13 UTC, ended 2023-11-14 22:14 UTC"));
  EXPECT_THAT(page, HasSubstr("<dt>best top-1</dt><dd>50.00 %<small>epoch 1; 21.52 to 78.48 %"));
  EXPECT_THAT(page, HasSubstr("<dt>last top-1</dt><dd>37.50 %<small>epoch 2; "));
  EXPECT_THAT(page, HasSubstr("<dt>last top-5</dt><dd>100.00 %<small>epoch 2; 67.56 to 100.00 %"));
  EXPECT_THAT(page, HasSubstr("<dd>1,234 images/s"));
  EXPECT_THAT(page, HasSubstr("<dd>12.50 %<small>of training"));
  EXPECT_THAT(page, HasSubstr("<dd>1m 30s<small>"));
  EXPECT_THAT(page, HasSubstr("<title>step 10, epoch 1: training 1.25, validation 1.5</title>"));
  EXPECT_THAT(page, HasSubstr("<title>step 20, epoch 2: learning rate 0.05</title>"));
  EXPECT_THAT(page, HasSubstr("<title>step 20, epoch 2: validation 0.4</title>")) << "macro_f1";
  EXPECT_THAT(page, HasSubstr("op = &quot;center_crop&quot;")) << "the recipe";
  for (const char* section :
       {"curves", "classes", "mistakes", "samples", "environment", "recipe"}) {
    EXPECT_THAT(page, HasSubstr(std::string("<section id=\"") + section + "\">"));
  }
}

TEST_F(RunReportTest, ClassesAndPairsComeWorstFirst) {
  const std::string page = Page();
  const std::string table = page.substr(page.find("<section id=\"classes\">"));
  const std::size_t puma = table.find("<td>puma</td>");
  const std::size_t tabby = table.find("<td>&lt;tabby&gt;</td>");
  const std::size_t lynx = table.find("<td>lynx</td>");
  EXPECT_LT(puma, tabby);
  EXPECT_LT(tabby, lynx) << "equals in the order of their labels";
  EXPECT_THAT(page, HasSubstr("<tr><td>puma</td><td>&lt;tabby&gt;</td><td class=\"n\">2</td>"));
  EXPECT_THAT(page, HasSubstr("<span>100.0 %</span>")) << "of the pumas";
}

TEST_F(RunReportTest, SamplesArePicturesWithTheirAnswers) {
  const RunReport report = GatherRunReport(run_);
  EXPECT_EQ(report.pictures.fault, "");
  ASSERT_EQ(report.pictures.of_sample.size(), 3u);
  EXPECT_EQ(report.pictures.of_sample.at(5).width, 24u);
  EXPECT_EQ(report.pictures.of_sample.at(5).height, 22u);
  const std::string page = RunReportPage(report);
  EXPECT_THAT(page, HasSubstr(report.pictures.of_sample.at(5).uri));
  EXPECT_THAT(page, HasSubstr("<b>\u2717 &lt;tabby&gt; 0.75</b><span>is: puma 0.12</span>"
                              "<span class=\"dim\">next: lynx 0.12</span>"
                              "<span class=\"dim\">sample 5, loss 2.50</span>"));
  EXPECT_THAT(page, HasSubstr("<b>\u2717 no answer (NaN)</b><span>is: &lt;tabby&gt;</span>"));
  EXPECT_THAT(page, HasSubstr("<figure class=\"right\">"));
  EXPECT_THAT(page, HasSubstr("--split val --sample 5 --save sample.jpg"));
}

TEST_F(RunReportTest, WithoutItsDatasetARunHasNoPictures) {
  std::filesystem::rename(dataset_, folder_ / "elsewhere");
  std::string page = Page();
  EXPECT_THAT(page, HasSubstr("There are no pictures: " + dataset_.string() + " is not a dataset"));
  EXPECT_THAT(page, HasSubstr("sample 5, loss 2.50"));
  EXPECT_THAT(page, HasSubstr("<td>puma</td>"));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  // Another dataset in its place.
  pipeline::Convert({.sources = {folder_ / "from/train"}, .to = dataset_, .split = "val"});
  page = Page();
  EXPECT_THAT(page, HasSubstr("There are no pictures: " + dataset_.string() +
                              " holds another dataset now, with the fingerprint"));
}

TEST_F(RunReportTest, DamagedSampleHasASentenceInItsPlace) {
  const storage::SplitReader reader(dataset_, "val");
  const std::string payload(reinterpret_cast<const char*>(reader.Read(5)->payload.data()),
                            reader.Read(5)->payload.size());
  const auto shard = dataset_ / reader.split().shards[0].file;
  std::string bytes = ReadFile(shard);
  bytes[bytes.find(payload) + payload.size() / 2] ^= 1;
  test::WriteText(shard, bytes);
  const RunReport report = GatherRunReport(run_);
  EXPECT_THAT(report.pictures.of_sample.at(5).fault, HasSubstr("sample 5: "));
  EXPECT_THAT(RunReportPage(report), HasSubstr("<p class=\"dim\">sample 5: "));
  EXPECT_NE(report.pictures.of_sample.at(3).uri, "");
}

TEST_F(RunReportTest, RunThatWentBackDoesNotShowWhatItHasNotFoundAgain) {
  WriteEvaluation(30);
  EXPECT_THAT(Page(), HasSubstr("The run has gone back behind step 30"));
  EXPECT_THAT(Page(), Not(HasSubstr("id=\"classes\"")));
  test::WriteText(run_ / "evaluation.json", "{");
  EXPECT_THAT(Page(), HasSubstr("evaluation.json: is damaged"));
  std::filesystem::remove(run_ / "evaluation.json");
  EXPECT_THAT(Page(), HasSubstr("There is no evaluation.json"));
}

TEST_F(RunReportTest, EveryEndIsTold) {
  RunStatus status = RunStatus::Begin({}, 0, 50, 1'700'000'000, 0);
  WriteStatus(status);
  EXPECT_THAT(Page(), HasSubstr("ended without a word</b> at step 20 of 50: it was killed"));
  {
    const FolderLock lock(run_, "another run");
    EXPECT_THAT(Page(), HasSubstr("running</b> at step 20 of 50"));
  }
  status.End(RunStatus::State::kInterrupted, 22, "", 1'700'000'090, 90);
  WriteStatus(status);
  EXPECT_THAT(Page(), HasSubstr("interrupted</b> at step 22 of 50"));
  status.End(RunStatus::State::kFailed, 22, "cannot write <x>", 1'700'000'090, 90);
  WriteStatus(status);
  EXPECT_THAT(Page(), HasSubstr("failed</b> at step 22 of 50: cannot write &lt;x&gt;"));
  std::filesystem::remove(run_ / "status.json");
  EXPECT_THAT(Page(), HasSubstr("<p>at step 20</p>"));
}

TEST_F(RunReportTest, RunThatHasToldNothingYetHasAPage) {
  for (const char* file : {"timings.jsonl", "status.json", "evaluation.json"}) {
    std::filesystem::remove(run_ / file);
  }
  test::WriteText(run_ / "metrics.jsonl", "");
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("The run has not been evaluated yet."));
  EXPECT_THAT(page, HasSubstr("nothing was told of it"));
  EXPECT_THAT(page, HasSubstr("<section id=\"recipe\">"));
}

TEST_F(RunReportTest, IsWrittenWhereItIsWanted) {
  const WrittenReport written = WriteRunReport(run_, folder_ / "a.html");
  EXPECT_EQ(written.pictures, 3u);
  EXPECT_EQ(ReadFile(folder_ / "a.html").size(), written.bytes);
  EXPECT_EQ(ReadFile(folder_ / "a.html"), Page());
  EXPECT_THAT(ErrorOf([this] { (void)WriteRunReport(folder_ / "from", folder_ / "b.html"); }),
              HasSubstr("is not a run's folder"));
}

}  // namespace
}  // namespace millrace::pipeline
