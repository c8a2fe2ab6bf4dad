#include "tracking/polyaxon_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::tracking {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using Events = std::vector<RemoteEvent>;

constexpr const char* kLoss = "events/metric/training__supervised-batch-loss.plx";

RemoteEvent Loss(std::uint64_t number, std::uint64_t step, double loss) {
  return {.number = number,
          .time_ms = 1'700'000'000'123,
          .what = Scalars{.group = "train", .step = step, .values = {{"loss", loss}}, .texts = {}}};
}

RemoteEvent File(std::uint64_t number, const std::string& name, const fs::path& path) {
  return {.number = number, .time_ms = 0, .what = Artifact{.name = name, .path = path}};
}

class PolyaxonFilesTest : public testing::Test {
 protected:
  PolyaxonFiles Open() const {
    return {folder_.path() / "run", folder_.path() / "state", /*with_log=*/true};
  }
  std::string Content(const std::string& path) const {
    return ReadFile(folder_.path() / "run" / path);
  }

  const test::TemporaryFolder folder_;
};

TEST_F(PolyaxonFilesTest, RowsAreThoseOfTraceml) {
  PolyaxonFiles files = Open();
  files.Write(Events{Loss(1, 10, 0.5), Loss(2, 20, 1e-300)});
  EXPECT_EQ(Content(kLoss),
            "step|timestamp|metric\n"
            "10|2023-11-14 22:13:20.123000+00:00|0.5\n"
            "20|2023-11-14 22:13:20.123000+00:00|1e-300");
}

TEST_F(PolyaxonFilesTest, WhatANodeUsesIsAResourceAndNoEvent) {
  PolyaxonFiles files = Open();
  const Scalars use{.kind = Scalars::Kind::kTiming,
                    .group = "system",
                    .step = 10,
                    .values = {{"node_1/cpu_utilization_percentage", 75}},
                    .texts = {}};
  files.Write(Events{{.number = 1, .time_ms = 1'700'000'000'123, .what = use}});
  constexpr const char* kPath = "resources/metric/node_1__cpu_utilization_percentage.plx";
  EXPECT_EQ(Content(kPath), "step|timestamp|metric\n10|2023-11-14 22:13:20.123000+00:00|75");
  ASSERT_EQ(files.files().size(), 1u);
  const PolyaxonFiles::File& file = files.files().at(kPath);
  EXPECT_EQ(file.kind, "") << "it is in no lineage and among no outputs";
  EXPECT_TRUE(file.waiting);
}

TEST_F(PolyaxonFilesTest, EventThatComesAgainIsWrittenOnce) {
  const std::vector events{Loss(1, 10, 0.5), Loss(2, 20, 0.25)};
  {
    PolyaxonFiles files = Open();
    files.Write(std::span(events).first(1));
    files.Write(events);
  }
  const std::string once = Content(kLoss);
  PolyaxonFiles files = Open();
  files.Write(events);
  EXPECT_EQ(Content(kLoss), once);
  EXPECT_EQ(files.files().at(kLoss).rows, 2);
  EXPECT_EQ(files.files().at(kLoss).last_step, 20);
}

TEST_F(PolyaxonFilesTest, FailureLeavesAllAsItWas) {
  const fs::path events = folder_.path() / "run/events";
  PolyaxonFiles files = Open();
  WriteFileAtomically(events, "a file where a folder has to be");
  EXPECT_THROW(files.Write(Events{Loss(1, 10, 0.5)}), Error);
  EXPECT_TRUE(files.files().empty());
  fs::remove(events);
  files.Write(Events{Loss(1, 10, 0.5)});
  EXPECT_EQ(Content(kLoss), "step|timestamp|metric\n10|2023-11-14 22:13:20.123000+00:00|0.5");
}

TEST_F(PolyaxonFilesTest, WhatIsNotNotedIsCut) {
  { Open().Write(Events{Loss(1, 10, 0.5)}); }
  const std::string noted = Content(kLoss);
  WriteFileAtomically(folder_.path() / "run" / kLoss, noted + "\n20|2023-");
  Open().Write(Events{Loss(2, 20, 0.5)});
  EXPECT_EQ(Content(kLoss), noted + "\n20|2023-11-14 22:13:20.123000+00:00|0.5");
}

TEST_F(PolyaxonFilesTest, ArtifactStaysUntilItIsDelivered) {
  const fs::path source = folder_.path() / "source";
  WriteFileAtomically(source, "weights");
  PolyaxonFiles files = Open();
  EXPECT_TRUE(files.Write(Events{File(1, "a/b.safetensors", source)}).empty());
  WriteFileAtomically(source, "those of a later step");
  EXPECT_EQ(Content("outputs/a/b.safetensors"), "weights");
  EXPECT_EQ(files.files().at("outputs/a/b.safetensors").kind, "model");
  files.Delivered("outputs/a/b.safetensors");
  EXPECT_FALSE(fs::exists(folder_.path() / "run/outputs/a/b.safetensors"));
  EXPECT_TRUE(files.files().empty());
  EXPECT_EQ(ReadFile(source), "those of a later step");
}

TEST_F(PolyaxonFilesTest, ArtifactThatCannotBeTakenIsLeftOutAndNamed) {
  PolyaxonFiles files = Open();
  const fs::path source = folder_.path() / "source";
  WriteFileAtomically(source, "");
  EXPECT_THAT(files.Write(Events{File(1, "gone", folder_.path() / "gone"), File(2, "../x", source),
                                 File(3, "/x", source), Loss(4, 10, 0.5)}),
              ElementsAre(Pair(1, HasSubstr("/gone is not there any more")),
                          Pair(2, "\"../x\" is no name for an artifact"),
                          Pair(3, "\"/x\" is no name for an artifact")));
  EXPECT_EQ(files.files().size(), 1);
  EXPECT_FALSE(fs::exists(folder_.path() / "x"));
}

TEST_F(PolyaxonFilesTest, FilesFromElsewhereGoOnAfterTheirLastStep) {
  constexpr const char* kAbout = "events/text/about.plx";
  const fs::path run = folder_.path() / "run";
  const std::string had =
      "step|timestamp|metric\n10|2023-11-14|0.5\n20|2023-11-14|nan\n30|2023|0.75";
  const std::string about = "\n{\"timestamp\": \"2023\", \"step\": 7, \"text\": \"|\"}\n";
  CreateFolders(run / "events/metric");
  CreateFolders(run / "events/text");
  WriteFileAtomically(run / kLoss, had);
  WriteFileAtomically(run / kAbout, about);
  {
    PolyaxonFiles files = Open();
    files.GoOnWith({kLoss, kAbout});
    const PolyaxonFiles::File& loss = files.files().at(kLoss);
    EXPECT_EQ(loss.kind, "metric");
    EXPECT_EQ(loss.name, "training__supervised-batch-loss");
    EXPECT_EQ(loss.rows, 3);
    EXPECT_EQ(loss.first_step, 10);
    EXPECT_EQ(loss.last_step, 30);
    EXPECT_EQ(loss.min, 0.5);
    EXPECT_EQ(loss.max, 0.75);
    EXPECT_EQ(loss.last, 0.75);
    EXPECT_FALSE(loss.waiting);
    EXPECT_EQ(files.files().at(kAbout).last_step, 7);
  }
  PolyaxonFiles files = Open();
  files.Write(Events{Loss(1, 20, 0.1), Loss(2, 30, 0.1)});
  EXPECT_EQ(Content(kLoss), had);
  EXPECT_FALSE(files.files().at(kLoss).waiting);
  const Note note{.name = "about", .step = 7, .markdown = "again"};
  files.Write(Events{Loss(3, 40, 0.25), {.number = 4, .time_ms = 0, .what = note}});
  EXPECT_EQ(Content(kLoss), had + "\n40|2023-11-14 22:13:20.123000+00:00|0.25");
  EXPECT_EQ(Content(kAbout), about);
  // What is known is not looked at again.
  files.GoOnWith({kLoss});
  EXPECT_EQ(files.files().at(kLoss).rows, 4);
}

TEST_F(PolyaxonFilesTest, HistogramIsDeliveredWhenItHasGrownByHalf) {
  constexpr const char* kWeights = "events/histogram/weights.plx";
  std::vector<std::uint64_t> delivered;
  for (std::uint64_t step = 1; step <= 30; ++step) {
    PolyaxonFiles files = Open();  // what was delivered is known to the next process
    const Histogram weights{.name = "weights", .step = step, .limits = {1}, .counts = {1}};
    files.Write(Events{{.number = 10 * step, .time_ms = 0, .what = weights},
                       Loss(10 * step + 1, step, 0.5)});
    EXPECT_FALSE(PolyaxonFiles::Gathers(files.files().at(kLoss)));
    if (PolyaxonFiles::Gathers(files.files().at(kWeights))) continue;
    delivered.push_back(step);
    files.Delivered(kWeights);
    files.Delivered(kLoss);
    files.Write(Events{Loss(10 * step + 2, 100 + step, 0.5)});  // which notes it
  }
  EXPECT_THAT(delivered, ElementsAre(1, 2, 3, 4, 6, 9, 13, 19, 28));
}

TEST_F(PolyaxonFilesTest, PathsOfEventsAreWithinTheirFolder) {
  EXPECT_TRUE(PolyaxonFiles::IsOfEvents(kLoss));
  for (const char* path : {"events/../x.plx", "events/metric/../../../x.plx", "/events/x.plx",
                           "events//x.plx", "assets/x.plx", "events/x.png"}) {
    EXPECT_FALSE(PolyaxonFiles::IsOfEvents(path)) << path;
  }
}

TEST_F(PolyaxonFilesTest, DamagedStateIsNamed) {
  WriteFileAtomically(folder_.path() / "state", "{\"last\": ");
  EXPECT_THAT(ErrorOf([this] { Open(); }),
              HasSubstr("/state is damaged; remove its folder to report to a new Polyaxon run"));
}

}  // namespace
}  // namespace millrace::tracking
