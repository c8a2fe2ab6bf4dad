#include "pipeline/run_status.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::pipeline {
namespace {

using State = RunStatus::State;

TEST(RunStatus, TimesOfAllPartsAddUp) {
  RunStatus status = RunStatus::Begin({}, 0, 100, /*now=*/1000, /*last_sign=*/0);
  EXPECT_EQ(status.state, State::kRunning);
  EXPECT_EQ(status.worked, 0);
  status.End(State::kInterrupted, 40, "", 1050, 50);
  EXPECT_EQ(status.worked, 50);
  status = RunStatus::Begin(status, 40, 120, 2000, /*last_sign=*/1050);
  EXPECT_EQ(status.parts, 2u);
  EXPECT_EQ(status.step, 40u);
  EXPECT_EQ(status.total_steps, 120u);
  EXPECT_EQ(status.ended, 0);
  status.End(State::kFailed, 60, "the disk is full", 2007, 7);
  EXPECT_EQ(status.worked, 57);
  EXPECT_EQ(status.began, 1000);
  EXPECT_EQ(status.reason, "the disk is full");
  EXPECT_EQ(RunStatus::Begin(status, 60, 120, 3000, 2007).reason, "");
}

TEST(RunStatus, KilledPartHasWorkedUntilItsLastSign) {
  const RunStatus killed = RunStatus::Begin({}, 0, 100, 1000, 0);
  EXPECT_EQ(RunStatus::Begin(killed, 8, 100, 5000, /*last_sign=*/1030).worked, 30);
  EXPECT_EQ(RunStatus::Begin(killed, 8, 100, 5000, /*last_sign=*/0).worked, 0);
}

TEST(RunStatus, ReadBackIsTheSame) {
  const test::TemporaryFolder folder;
  RunStatus status = RunStatus::Begin({}, 3, 100, 1000, 0);
  for (const State state :
       {State::kRunning, State::kFinished, State::kInterrupted, State::kFailed}) {
    status.End(state, 5, "why \"not\"", 1234, 234);
    test::WriteText(folder / "status.json", status.ToJson());
    const std::optional<RunStatus> read = RunStatus::ReadIfThere(folder / "status.json");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->state, state);
    EXPECT_EQ(read->ToJson(), status.ToJson());
  }
}

TEST(RunStatus, WhatNoRunWroteIsNone) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(RunStatus::ReadIfThere(folder / "status.json"));
  for (const char* text : {"", "[]", "{}", R"({"state": "asleep", "step": 1})",
                           R"({"state": "running", "step": "one"})"}) {
    test::WriteText(folder / "status.json", text);
    EXPECT_FALSE(RunStatus::ReadIfThere(folder / "status.json")) << text;
  }
}

}  // namespace
}  // namespace millrace::pipeline
