#include "tracking/tracker_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace millrace::tracking {
namespace {

using test::ErrorOf;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const TrackerRun::Place kPlace{
    .system = "MLflow", .server = "http://host:5000", .project = "p", .id = ""};

RunDescription Described(const std::string& before = "") {
  return {.name = "a",
          .dataset = "/data/set",
          .fingerprint = "00ff",
          .command = "exec it",
          .before = before};
}

class TrackerRunTest : public testing::Test {
 protected:
  TrackerRun Open(const RunDescription& run, const TrackerRun::Place& place = kPlace) {
    return {folder_.path() / "mlflow", place, run,
            [this](const std::string& line) { said_.push_back(line); }};
  }

  // What a checkpoint keeps of a run at kPlace, which had got this id.
  static std::string Checkpoint(const std::string& id) {
    const test::TemporaryFolder folder;
    TrackerRun run(folder.path(), kPlace, Described(), [](const std::string&) {});
    TrackerRun::State state = run.state();
    state.id = id;
    run.Change(state);
    return run.ForCheckpoint();
  }

  const test::TemporaryFolder folder_;
  std::vector<std::string> said_;
};

TEST_F(TrackerRunTest, NewRunHasAKeyOfItsOwn) {
  const TrackerRun run = Open(Described());
  EXPECT_EQ(run.state().server, kPlace.server);
  EXPECT_EQ(run.state().project, "p");
  EXPECT_EQ(run.state().key.size(), 24);
  EXPECT_EQ(run.state().id, "");
  EXPECT_FALSE(run.state().begun_elsewhere);
  const test::TemporaryFolder other;
  EXPECT_NE(TrackerRun(other.path(), kPlace, Described(), nullptr).state().key, run.state().key);
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(TrackerRunTest, WhatIsInTheFileWinsOverEnvironmentAndCheckpoint) {
  std::string key;
  {
    TrackerRun run = Open(Described());
    TrackerRun::State state = run.state();
    key = state.key;
    state.id = "ours";
    state.told = 7;
    state.told_elsewhere = {{"loss", 30}};
    run.Change(state);
  }
  TrackerRun::Place place = kPlace;
  place.id = "the environment's";
  place.server = "http://moved";
  const TrackerRun run = Open(Described(Checkpoint("the checkpoint's")), place);
  EXPECT_EQ(run.state().key, key);
  EXPECT_EQ(run.state().id, "ours");
  EXPECT_EQ(run.state().told, 7);
  EXPECT_EQ(run.state().told_elsewhere.at("loss"), 30);
  EXPECT_EQ(run.state().server, "http://moved");
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(TrackerRunTest, RunOfTheCheckpointGoesOn) {
  const std::string before = Checkpoint("0a1b");
  const TrackerRun run = Open(Described(before));
  EXPECT_EQ(run.state().id, "0a1b");
  EXPECT_TRUE(run.state().begun_elsewhere);
  EXPECT_EQ(run.ForCheckpoint(), before);
  EXPECT_THAT(said_, ElementsAre("going on with the checkpoint's run of MLflow, 0a1b; it would be "
                                 "a new one under another name (--set name=...)"));
}

TEST_F(TrackerRunTest, RunThatTheServerHadNotMadeYetIsFoundByItsKey) {
  const std::string before = Checkpoint("");
  const TrackerRun run = Open(Described(before));
  EXPECT_EQ(run.state().key, nlohmann::json::parse(before).at("key"));
  EXPECT_EQ(run.state().id, "");
  EXPECT_TRUE(run.state().begun_elsewhere);
}

TEST_F(TrackerRunTest, EnvironmentWinsOverTheCheckpoint) {
  TrackerRun::Place place = kPlace;
  place.id = "named";
  const TrackerRun run = Open(Described(Checkpoint("0a1b")), place);
  EXPECT_EQ(run.state().id, "named");
  EXPECT_TRUE(run.state().begun_elsewhere);
}

TEST_F(TrackerRunTest, CheckpointOfAnotherPlaceOrNameIsANewRun) {
  const std::string before = Checkpoint("0a1b");
  TrackerRun::Place server = kPlace;
  server.server = "http://other";
  TrackerRun::Place project = kPlace;
  project.project = "other";
  RunDescription renamed = Described(before);
  renamed.name = "b";
  for (const auto& [place, run] :
       {std::pair{server, Described(before)}, {project, Described(before)}, {kPlace, renamed}}) {
    std::filesystem::remove_all(folder_.path() / "mlflow");
    said_.clear();
    const TrackerRun ours = Open(run, place);
    EXPECT_EQ(ours.state().id, "");
    EXPECT_FALSE(ours.state().begun_elsewhere);
    EXPECT_THAT(said_, ElementsAre("a new run of MLflow: the checkpoint's is called a and is at "
                                   "http://host:5000 in p"));
  }
}

TEST_F(TrackerRunTest, CheckpointOfAnotherSystemOrOfNoneIsNoMatter) {
  TrackerRun::Place polyaxon = kPlace;
  polyaxon.system = "Polyaxon";
  for (const auto& [place, before] :
       {std::pair{polyaxon, Checkpoint("0a1b")}, {kPlace, ""}, {kPlace, "7"}}) {
    std::filesystem::remove_all(folder_.path() / "mlflow");
    EXPECT_EQ(Open(Described(before), place).state().id, "");
  }
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(TrackerRunTest, WhatIsInAFolderStaysThere) {
  TrackerRun::Place folder = kPlace;
  folder.server = "";
  const TrackerRun run = Open(Described(Checkpoint("0a1b")), folder);
  EXPECT_EQ(run.state().id, "");
  EXPECT_EQ(run.ForCheckpoint(), "");
}

TEST_F(TrackerRunTest, CheckpointKeepsWhatFindsTheRunAndNoMore) {
  std::vector<std::string> names;
  const auto kept = nlohmann::json::parse(Checkpoint("0a1b"));
  for (const auto& [name, value] : kept.items()) names.push_back(name);
  EXPECT_THAT(names, UnorderedElementsAre("system", "server", "project", "key", "id", "name"));
}

TEST_F(TrackerRunTest, DescriptionIsFoundAgain) {
  EXPECT_FALSE(TrackerRun::Find(folder_.path() / "mlflow"));
  Open(Described());
  const auto found = TrackerRun::Find(folder_.path() / "mlflow");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->run.name, "a");
  EXPECT_EQ(found->run.dataset, "/data/set");
  EXPECT_EQ(found->run.fingerprint, "00ff");
  EXPECT_EQ(found->run.command, "exec it");
}

TEST_F(TrackerRunTest, DamagedFileIsNamed) {
  CreateFolders(folder_.path() / "mlflow");
  const std::string path = (folder_.path() / "mlflow/run.json").string();
  for (const char* bad : {"", "{", "[]", "7", R"({"server": "a"})"}) {
    WriteFileAtomically(path, bad);
    EXPECT_EQ(ErrorOf([this] { Open(Described()); }),
              path + " is damaged; remove its folder to report to a new run")
        << bad;
  }
}

}  // namespace
}  // namespace millrace::tracking
