#include "pipeline/progress_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>

#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

using Metadata = std::map<std::string, std::string>;
using test::ErrorOf;
using testing::HasSubstr;

const RunIdentity kIdentity{.dataset_fingerprint = "00112233445566ff",
                            .model = "resnet18",
                            .classes = 10,
                            .seed = 42,
                            .global_batch = 256};

ProgressState SomeState() {
  return {.identity = kIdentity,
          .layout = {.lanes = 2, .threads_per_lane = 4},
          .step = 1234,
          .epoch = 3,
          .position = 512,
          .evaluation_pending = true,
          .batches = 0x0123456789ABCDEF,
          .digest = 0xFEDCBA9876543210,
          .metrics_bytes = 987654321,
          .best = {{.top1 = 0.1 + 0.2, .step = 1000, .file = "a \"b\".safetensors"},
                   {.top1 = 0.25, .step = 500, .file = "é.safetensors"}},
          .best_top1 = 0.1 + 0.2,
          .validations_without_gain = 5,
          .config = "name = \"x\"\n[data]\npath = \"ü\"\n",
          .torchscript = "0123",
          .initial_weights = "4567",
          .tracker_run = R"({"id":"0a"})"};
}

void ExpectSame(const ProgressState& a, const ProgressState& b) {
  EXPECT_EQ(a.identity.dataset_fingerprint, b.identity.dataset_fingerprint);
  EXPECT_EQ(a.identity.model, b.identity.model);
  EXPECT_EQ(a.identity.classes, b.identity.classes);
  EXPECT_EQ(a.identity.seed, b.identity.seed);
  EXPECT_EQ(a.identity.global_batch, b.identity.global_batch);
  EXPECT_EQ(a.layout, b.layout);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.evaluation_pending, b.evaluation_pending);
  EXPECT_EQ(a.batches, b.batches);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.metrics_bytes, b.metrics_bytes);
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.torchscript, b.torchscript);
  EXPECT_EQ(a.initial_weights, b.initial_weights);
  EXPECT_EQ(a.tracker_run, b.tracker_run);
  EXPECT_EQ(a.best_top1, b.best_top1);  // exactly
  EXPECT_EQ(a.validations_without_gain, b.validations_without_gain);
  ASSERT_EQ(a.best.size(), b.best.size());
  for (std::size_t i = 0; i < a.best.size(); ++i) {
    EXPECT_EQ(a.best[i].top1, b.best[i].top1);  // exactly
    EXPECT_EQ(a.best[i].step, b.best[i].step);
    EXPECT_EQ(a.best[i].file, b.best[i].file);
  }
}

TEST(ProgressState, MetadataGivesTheSameStateBack) {
  ExpectSame(ProgressState::FromMetadata(SomeState().ToMetadata(), "f"), SomeState());
  ExpectSame(ProgressState::FromMetadata(ProgressState{}.ToMetadata(), "f"), ProgressState{});
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  ProgressState largest = SomeState();
  largest.step = largest.epoch = largest.position = largest.digest = largest.metrics_bytes = kMost;
  largest.identity.seed = largest.identity.classes = largest.identity.global_batch = kMost;
  ExpectSame(ProgressState::FromMetadata(largest.ToMetadata(), "f"), largest);
}

TEST(ProgressState, FurtherEntriesArePassedOver) {
  Metadata metadata = SomeState().ToMetadata();
  metadata["format"] = "pt";
  ExpectSame(ProgressState::FromMetadata(metadata, "f"), SomeState());
}

TEST(ProgressState, EachMissingEntryIsNamed) {
  for (const auto& [key, value] : SomeState().ToMetadata()) {
    Metadata metadata = SomeState().ToMetadata();
    metadata.erase(key);
    if (key == "device" || key == "batches" || key == "best_top1" ||
        key == "validations_without_gain" || key == "tracker_run" || key == "torchscript" ||
        key == "initial_weights") {
      continue;
    }
    EXPECT_EQ(
        ErrorOf([&] { (void)ProgressState::FromMetadata(metadata, "run/step-7.safetensors"); }),
        "run/step-7.safetensors: its metadata lacks \"" + key +
            "\": it holds weights but is no checkpoint of a training run; give it to "
            "--weights, or resume from a file of a run's checkpoints/ folder");
  }
}

TEST(ProgressState, WhatDoesNotNameItsDeviceWasComputedOnTheCpu) {
  ProgressState state = SomeState();
  state.layout.device = "NVIDIA H100";
  Metadata metadata = state.ToMetadata();
  EXPECT_EQ(ProgressState::FromMetadata(metadata, "f").layout.device, "NVIDIA H100");
  metadata.erase("device");
  EXPECT_EQ(ProgressState::FromMetadata(metadata, "f").layout.device, "cpu");
}

TEST(ProgressState, WhatEarlierVersionsDidNotCountBeginsAnew) {
  Metadata metadata = SomeState().ToMetadata();
  for (const char* key : {"batches", "best_top1", "validations_without_gain"}) metadata.erase(key);
  const ProgressState state = ProgressState::FromMetadata(metadata, "f");
  EXPECT_EQ(state.batches, 0u);
  EXPECT_EQ(state.best_top1, -1);
  EXPECT_EQ(state.validations_without_gain, 0u);
}

TEST(ProgressState, WhatNamesNoModelFilesHasNone) {
  Metadata metadata = SomeState().ToMetadata();
  metadata.erase("torchscript");
  metadata.erase("initial_weights");
  EXPECT_EQ(ProgressState::FromMetadata(metadata, "f").torchscript, "");
  EXPECT_EQ(ProgressState::FromMetadata(metadata, "f").initial_weights, "");
}

TEST(ProgressState, WhatNamesNoTrackersRunHasNone) {
  Metadata metadata = SomeState().ToMetadata();
  metadata.erase("tracker_run");
  EXPECT_EQ(ProgressState::FromMetadata(metadata, "f").tracker_run, "");
}

TEST(ProgressState, EachMalformedNumberIsNamed) {
  for (const char* key : {"step", "epoch", "position", "evaluation_pending",
                          "validations_without_gain", "batches", "digest", "metrics_bytes",
                          "classes", "seed", "global_batch", "lanes", "threads_per_lane"}) {
    for (const char* bad :
         {"", "x", "-1", "+1", " 1", "1 ", "1.5", "0x1", "99999999999999999999"}) {
      Metadata metadata = SomeState().ToMetadata();
      metadata[key] = bad;
      EXPECT_EQ(ErrorOf([&] { (void)ProgressState::FromMetadata(metadata, "f"); }),
                std::string("f: its metadata says ") + key + " = \"" + bad +
                    "\", which is no number: the file is damaged");
    }
  }
}

TEST(ProgressState, MalformedListOfBestEvaluationsIsAnError) {
  for (const char* bad : {"", "[", "nonsense", "[1]", "[{}]", "3", R"([{"top1": 0.5, "step": 1}])",
                          R"([{"top1": "high", "step": 1, "file": "f"}])",
                          R"([{"top1": 0.5, "step": "1", "file": "f"}])",
                          R"([{"top1": 0.5, "step": 1, "file": 7}])", "null", "{}"}) {
    Metadata metadata = SomeState().ToMetadata();
    metadata["best"] = bad;
    EXPECT_EQ(ErrorOf([&] { (void)ProgressState::FromMetadata(metadata, "f"); }),
              "f: its metadata's best evaluations cannot be read: the file is damaged")
        << bad;
  }
}

TEST(ProgressState, SameRunIsAccepted) {
  EXPECT_NO_THROW(SomeState().RequireSameRun(kIdentity, "f"));
}

TEST(ProgressState, BeforeTheFirstStepSeedAndBatchMayStillBeAny) {
  ProgressState start = SomeState();
  start.step = 0;
  start.evaluation_pending = false;
  RunIdentity wanted = kIdentity;
  wanted.seed = 43;
  wanted.global_batch = 1;
  EXPECT_NO_THROW(start.RequireSameRun(wanted, "f"));
  wanted.model = "resnet50";
  EXPECT_THAT(ErrorOf([&] { start.RequireSameRun(wanted, "f"); }), HasSubstr("resnet50"));
}

TEST(ProgressState, EachDifferenceOfTheRunIsSaidWithWhatToDo) {
  const auto error_with = [](auto change) {
    RunIdentity wanted = kIdentity;
    change(wanted);
    return ErrorOf([&] { SomeState().RequireSameRun(wanted, "step-7.safetensors"); });
  };
  EXPECT_EQ(error_with([](RunIdentity& run) { run.model = "resnet50"; }),
            "step-7.safetensors: is a checkpoint of resnet18, but the recipe trains resnet50; "
            "resume with the recipe that wrote it or start a new run folder");
  EXPECT_EQ(error_with([](RunIdentity& run) { run.classes = 1000; }),
            "step-7.safetensors: is a checkpoint for 10 classes, but the dataset has 1000; resume "
            "with the dataset it was trained on");
  EXPECT_EQ(error_with([](RunIdentity& run) { run.dataset_fingerprint = "ff"; }),
            "step-7.safetensors: was trained on the dataset with fingerprint 00112233445566ff, but "
            "this one has ff; resume with the dataset it was trained on");
  EXPECT_EQ(
      error_with([](RunIdentity& run) { run.seed = 43; }),
      "step-7.safetensors: was trained with seed 42, but the recipe says 43; the sample order "
      "would differ");
  EXPECT_EQ(error_with([](RunIdentity& run) { run.global_batch = 128; }),
            "step-7.safetensors: was trained with a global batch of 256, but the recipe and the "
            "devices give 128; set batch.global = 256");
}

}  // namespace
}  // namespace millrace::pipeline
