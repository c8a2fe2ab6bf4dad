#include <ATen/ATen.h>
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/checkpoint.h"
#include "model/loss_scaler.h"
#include "model/safetensors.h"
#include "pipeline/batch_plan.h"
#include "pipeline/gpu_monitor.h"
#include "pipeline/gpus.h"
#include "pipeline/graph.h"
#include "pipeline/trainer.h"
#include "stages/copy_to_cuda.h"
#include "tests/gpu/device.h"
#include "tests/pipeline/loader_fixture.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAreArray;
using testing::HasSubstr;

class Lines final : public tracking::Sink {
 public:
  explicit Lines(std::vector<std::string>& lines) : lines_(lines) {}
  void OnText(const std::string& line) override { lines_.push_back(line); }

 private:
  std::vector<std::string>& lines_;
};

class GpuTraining : public test::LoaderTest {
 protected:
  void SetUp() override {
    MILLRACE_SKIP_WITHOUT_DEVICE();
    LoaderTest::SetUp();
  }

  // 12 steps in 2 epochs, with an evaluation after each.
  Recipe MakeRecipe(std::vector<std::string> overrides) const {
    std::vector<std::string> all = {"model.name=resnet18",      "model.width=8",
                                    "loss.label_smoothing=0.1", "optimizer.lr=0.01",
                                    "schedule.name=constant",   "train.log_every_steps=1"};
    const bool names_optimizer = std::ranges::any_of(
        overrides, [](const std::string& each) { return each.starts_with("optimizer.name="); });
    if (!names_optimizer) all.insert(all.end(), {"optimizer.name=sgd", "optimizer.momentum=0.9"});
    all.insert(all.end(), overrides.begin(), overrides.end());
    return LoadRecipe(all);
  }

  struct Run {
    fs::path folder;
    std::vector<double> losses;  // of each step
    std::string metrics;
    std::vector<std::string> told;  // lines for people, also those before there was a folder
    TrainResult result;
  };

  Run Train(const std::string& name, const std::string& devices,
            const std::vector<std::string>& overrides,
            const std::optional<fs::path>& resume = {}) const {
    Run run{.folder = folder_ / name, .losses = {}, .metrics = "", .told = {}, .result = {}};
    tracking::RunLog log;
    log.Add(std::make_unique<Lines>(run.told));
    run.result = pipeline::Train(MakeRecipe(overrides),
                                 {.dataset = dataset_,
                                  .out = run.folder,
                                  .devices = Devices::Parse(devices),
                                  .resume = resume},
                                 log);
    run.metrics = ReadFile(run.folder / "metrics.jsonl");
    std::istringstream lines(run.metrics);
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json["group"] == "train") run.losses.push_back(json["loss"].get<double>());
    }
    return run;
  }

  static void ExpectEqualWeights(const Run& a, const Run& b) {
    const auto first = model::ReadCheckpoint(a.result.checkpoint);
    const auto second = model::ReadCheckpoint(b.result.checkpoint);
    for (const auto& [x, y] :
         {std::pair(first.weights, second.weights), std::pair(first.optimizer, second.optimizer),
          std::pair(first.average, second.average)}) {
      ASSERT_EQ(x.size(), y.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_TRUE(at::equal(x[i].tensor, y[i].tensor)) << x[i].name;
      }
    }
  }
};

TEST_F(GpuTraining, FollowsTheCpu) {
  const Run cpu = Train("cpu", "cpu", {});
  const Run gpu = Train("gpu", "cuda:0", {"train.cuda_graph=off"});
  ASSERT_EQ(cpu.losses.size(), 12u);
  ASSERT_EQ(gpu.losses.size(), 12u);
  EXPECT_NEAR(gpu.losses[0], cpu.losses[0], 1e-5);
  // Later ones part: with four samples to a batch each step makes roundings ten times as large.
  for (std::size_t i = 1; i < 3; ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 0.01) << i;
  EXPECT_EQ(gpu.result.step, 12u);
  EXPECT_THAT(gpu.told, Contains(HasSubstr(FindGpus().names[0])));
}

TEST_F(GpuTraining, DeterministicRunsAreEqualBitForBitWithAndWithoutGraph) {
  const std::vector<std::string> eager = {"deterministic=true", "train.cuda_graph=off"};
  const Run first = Train("first", "cuda:0", eager);
  const Run second = Train("second", "cuda:0", eager);
  const Run graph = Train("graph", "cuda:0", {"deterministic=true"});
  EXPECT_EQ(first.metrics, second.metrics);
  ExpectEqualWeights(first, second);
  EXPECT_THAT(graph.told, Contains(HasSubstr("the train step is a CUDA graph from now on")));
  EXPECT_EQ(first.metrics, graph.metrics);
  ExpectEqualWeights(first, graph);
}

TEST_F(GpuTraining, GraphsOfGrowingPicturesDoWhatTheStepsThemselvesDo) {
  // An epoch of 16 pixels and one of 20, which are decoded on the CPU and on the GPU.
  const std::vector<std::string> growing = {
      "deterministic=true",
      "data.train.progressive={ from = 16, begin_epoch = 0, end_epoch = 1, step = 4 }"};
  std::vector<std::string> settings = growing;
  settings.emplace_back("train.cuda_graph=off");
  const Run eager = Train("eager", "cuda:0", settings);
  for (const char* decode : {"cpu", "gpu"}) {
    settings = growing;
    settings.push_back(std::string("decode.device=") + decode);
    const Run graph = Train(std::string("graph-") + decode, "cuda:0", settings);
    EXPECT_THAT(graph.told, Contains(HasSubstr("a CUDA graph from now on: it gives"))) << decode;
    EXPECT_THAT(graph.told, Contains(HasSubstr("again for batches of another size"))) << decode;
    EXPECT_EQ(graph.metrics, eager.metrics) << decode;
    ExpectEqualWeights(graph, eager);
  }
}

TEST_F(GpuTraining, GraphIsUsedInEveryPrecision) {
  for (const char* amp : {"off", "bf16", "fp16"}) {
    const Run run =
        Train(std::string("run-") + amp, "cuda:0", {std::string("precision.amp=") + amp});
    EXPECT_THAT(run.told, Contains(HasSubstr("the train step is a CUDA graph from now on"))) << amp;
    EXPECT_EQ(run.losses.size(), 12u);
  }
}

TEST_F(GpuTraining, EveryOptimizersGraphDoesWhatItDoesItself) {
  for (const std::string name : {"sgd", "adamw", "lars", "lamb"}) {
    for (const std::string amp : {"off", "fp16"}) {
      std::vector<std::string> settings = {
          "optimizer.name=" + name, "optimizer.weight_decay=0.01", "optimizer.clip_norm=1",
          "optimizer.lr=0.002",     "schedule.name=polynomial",    "schedule.warmup_epochs=0.5",
          "model.ema_decay=0.9",    "model.blurpool=true",         "model.stochastic_depth=0.2",
          "precision.amp=" + amp,   "deterministic=true"};
      const Run graph = Train(name + amp + "-graph", "cuda:0", settings);
      settings.emplace_back("train.cuda_graph=off");
      const Run eager = Train(name + amp + "-eager", "cuda:0", settings);
      EXPECT_THAT(graph.told, Contains(HasSubstr("the train step is a CUDA graph from now on")))
          << name << " " << amp;
      EXPECT_EQ(graph.metrics, eager.metrics) << name << " " << amp;
      ExpectEqualWeights(graph, eager);
    }
  }
}

TEST_F(GpuTraining, ResumedRunIsTheUndisturbedOneBitForBit) {
  const std::vector<std::string> settings = {"deterministic=true", "checkpoint.every_steps=5",
                                             "checkpoint.keep=10", "precision.amp=bf16"};
  const Run whole = Train("whole", "cuda:0", settings);
  const fs::path middle = model::CheckpointPath(whole.folder / "checkpoints", 5);
  ASSERT_TRUE(fs::exists(middle));
  const Run rest = Train("rest", "cuda:0", settings, middle);
  ExpectEqualWeights(whole, rest);
  EXPECT_THAT(whole.metrics, testing::EndsWith(rest.metrics));
}

TEST_F(GpuTraining, RunsGoFromTheCpuToTheGpuAndBack) {
  const std::vector<std::string> settings = {"checkpoint.every_steps=5", "checkpoint.keep=10"};
  const Run cpu = Train("cpu", "cpu", settings);
  const Run gpu =
      Train("gpu", "cuda:0", settings, model::CheckpointPath(cpu.folder / "checkpoints", 5));
  EXPECT_THAT(gpu.told, Contains(HasSubstr("sums are taken in another order")));
  // The checkpoint of the CPU gives the losses that the CPU went on with.
  ASSERT_EQ(gpu.losses.size(), 7u);
  EXPECT_NEAR(gpu.losses[0], cpu.losses[5], 1e-3);
  const Run back =
      Train("back", "cpu", settings, model::CheckpointPath(gpu.folder / "checkpoints", 10));
  EXPECT_THAT(back.told, Contains(HasSubstr("instead of 1 x " + FindGpus().names[0])));
  ASSERT_EQ(back.losses.size(), 2u);
  EXPECT_NEAR(back.losses[0], gpu.losses[5], 1e-3);
}

TEST_F(GpuTraining, AccumulationTakesEveryStep) {
  const Run parts = Train("parts", "cuda:0", {"batch.per_device=2", "batch.global=4"});
  EXPECT_EQ(parts.losses.size(), 12u);
  EXPECT_EQ(parts.result.step, 12u);
}

TEST_F(GpuTraining, Float16KeepsItsScaleInTheCheckpoint) {
  const Run run = Train("run", "cuda:0", {"precision.amp=fp16"});
  const auto checkpoint = model::ReadCheckpoint(run.result.checkpoint);
  ASSERT_EQ(checkpoint.scaler.size(), 2u);
  const Run again =
      Train("again", "cuda:0", {"precision.amp=fp16", "train.epochs=3"}, run.result.checkpoint);
  EXPECT_EQ(again.result.step, 18u);
}

// Digests of all batches are part of the metrics.
TEST_F(GpuTraining, DecodingOnTheGpuGivesTheRunOfTheCpusDecoder) {
  std::vector<std::string> settings = {
      "deterministic=true",
      "data.train.ops=[{ op = 'random_resized_crop', size = 64, scale = [0.2, 1.0] },"
      " { op = 'horizontal_flip' }]",
      "data.val.ops=[{ op = 'resize', size = 72 }, { op = 'center_crop', size = 64 }]"};
  const Run cpu = Train("cpu", "cuda:0", settings);
  settings.emplace_back("decode.device=gpu");
  const Run gpu = Train("gpu", "cuda:0", settings);
  EXPECT_EQ(cpu.metrics, gpu.metrics);
  ExpectEqualWeights(cpu, gpu);
}

// Digests of batches as they come to a device that decodes.
class CargoLane final : public LaneWork {
 public:
  explicit CargoLane(LoaderStages& loaders) : loaders_(loaders) {}

  void Copy(stages::Slot& slot) override {
    if (!copy_) {
      const stages::ChannelStatistics statistics{{0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}};
      copy_.emplace(statistics, stages::ImageFormat{.type = at::kBFloat16},
                    [this](const stages::Slot& of, std::uint32_t index, std::uint8_t* pixels) {
                      ++on_host;
                      loaders_.DecodeOnHost(of, index, pixels);
                    });
    }
    if (damages && !slot.cargo().empty()) Damage(slot);
    copy_->Start(slot);
  }
  void TrainStep(const stages::Slot& slot) override {
    copy_->Take();
    copy_->WaitUntilRead();
    digests.push_back(slot.Digest());
  }

  bool damages = false;
  int on_host = 0;
  std::vector<std::uint64_t> digests;

 private:
  // Cuts the first segment of the first picture short.
  static void Damage(stages::Slot& slot) {
    const stages::gpu::Picture& picture = slot.sample(0).for_device;
    ASSERT_EQ(picture.kind, stages::gpu::Kind::kSegments);
    stages::gpu::SegmentPlace place;
    std::uint8_t* const at = slot.cargo_at(picture.bytes + sizeof(stages::gpu::PictureData));
    std::memcpy(&place, at, sizeof place);
    place.bytes = 1;
    std::memcpy(at, &place, sizeof place);
  }

  LoaderStages& loaders_;
  std::optional<stages::CopyToCuda> copy_;
};

TEST_F(GpuTraining, DamagedCargoIsDecodedOnTheHost) {
  const Recipe recipe =
      MakeRecipe({"data.train.ops=[{ op = 'random_resized_crop', size = 64, scale = [0.2, 1.0] }]",
                  "decode.device=gpu"});
  const auto run = [&](bool damages) {
    LoaderStages loaders(recipe, dataset_, {stages::Phase::kTrain});
    CargoLane lane(loaders);
    lane.damages = damages;
    BatchPlan plan({.train_samples = loaders.train().size(), .per_device = 4, .epochs = 2});
    Stop stop;
    StageStats stats;
    RunGraph(
        {.workers = 2,
         .num_slots = 3,
         .max_batch = 4,
         .max_image_bytes = 3 * 64 * 64,
         .allocate = PinnedPixels({0})},
        [&plan] { return plan.Next(); }, loaders, {&lane}, stop, stats);
    EXPECT_EQ(lane.on_host, damages ? 12 : 0);
    return lane.digests;
  };
  const auto sound = run(false);
  EXPECT_EQ(sound.size(), 12u);
  EXPECT_EQ(run(true), sound);
}

TEST_F(GpuTraining, EvaluationCountsAreTheCpus) {
  const Run run = Train("run", "cuda:0", {});
  const auto evaluate = [&](const char* devices) {
    tracking::RunLog log;
    EvaluateOptions options;
    options.dataset = dataset_;
    options.weights = run.result.checkpoint;
    options.devices = Devices::Parse(devices);
    return Evaluate(MakeRecipe({}), options, log).value().counts;
  };
  const auto cpu = evaluate("cpu");
  const auto gpu = evaluate("cuda:0");
  EXPECT_EQ(gpu.samples(), cpu.samples());
  EXPECT_EQ(gpu.top1(), cpu.top1());
  for (std::int64_t label = 0; label < cpu.classes(); ++label) {
    for (std::int64_t answer = 0; answer < cpu.classes(); ++answer) {
      EXPECT_EQ(gpu.Confusion(label, answer), cpu.Confusion(label, answer));
    }
  }
  EXPECT_NEAR(gpu.MeanLoss(), cpu.MeanLoss(), 1e-3);
}

using Gpu = test::OnDevice;

TEST_F(Gpu, SlotsArePinned) {
  const stages::PixelMemory memory = PinnedPixels({0})(1 << 20);
  cudaPointerAttributes attributes;
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, memory.get()), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
}

TEST_F(Gpu, DriverTellsHowBusyItIs) {
  const GpuMonitor monitor(BusIds(Devices::Parse("cuda:0")));
  EXPECT_EQ(monitor.problem(), "");
  const auto uses = monitor.Read();
  ASSERT_EQ(uses.size(), 1u);
  ASSERT_TRUE(uses[0]);
  EXPECT_LE(uses[0]->busy_share, 1);
  EXPECT_GT(uses[0]->memory_bytes, 0u);
  EXPECT_GT(uses[0]->memory_total, uses[0]->memory_bytes);
}

// Batches of changing sizes, two on their way at a time, from memory that is written over as soon
// as that is allowed.
TEST_F(Gpu, CopyBringsEveryBatchAsTheCpuSeesIt) {
  const stages::ChannelStatistics statistics{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  stages::CopyToCuda copy(statistics, {}, {});
  const stages::PixelAllocator allocate = PinnedPixels({0});
  constexpr std::uint32_t kMost = 16;
  constexpr int kSide = 64;
  std::vector<std::unique_ptr<stages::Slot>> slots;
  for (std::uint32_t i = 0; i < 2; ++i) {
    slots.push_back(std::make_unique<stages::Slot>(i, kMost, kSide * kSide * 3, allocate));
  }
  const auto fill = [&](std::uint64_t number) {
    stages::Slot& slot = *slots[number % 2];
    const int side = number % 3 == 2 ? kSide : kSide / 2;
    slot.Begin({.sequence = number, .size = static_cast<std::uint32_t>(1 + number * 5 % kMost)},
               {side, side});
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      for (std::size_t j = 0; j < slot.image_bytes(); ++j) {
        slot.image(i)[j] = static_cast<std::uint8_t>(j * (i + 3) + 11 * number);
      }
      slot.label(i) = static_cast<std::int64_t>(number * 100 + i);
    }
    return &slot;
  };
  copy.Start(*fill(0));
  for (std::uint64_t number = 0; number < 12; ++number) {
    copy.Start(*fill(number + 1));
    const stages::DeviceBatch batch = copy.Take();
    const stages::Slot& slot = *slots[number % 2];
    std::vector<float> wanted(slot.pixels().size());
    stages::Normalize(stages::Kernels::kScalar, slot.pixels().data(), wanted.size() / 3, statistics,
                      stages::Layout::kNhwc, wanted.data());
    const std::vector<std::int64_t> labels(slot.labels().begin(), slot.labels().end());
    copy.WaitUntilRead();
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      std::fill_n(slots[number % 2]->image(i), slot.image_bytes(), std::uint8_t{0});
    }
    const at::Tensor images = batch.images.cpu().permute({0, 2, 3, 1}).contiguous();
    ASSERT_EQ(images.numel(), static_cast<std::int64_t>(wanted.size()));
    ASSERT_EQ(std::memcmp(images.const_data_ptr(), wanted.data(), wanted.size() * sizeof(float)), 0)
        << number;
    const at::Tensor got = batch.labels.cpu();
    ASSERT_THAT(std::vector(got.const_data_ptr<std::int64_t>(),
                            got.const_data_ptr<std::int64_t>() + got.numel()),
                ElementsAreArray(labels));
  }
}

TEST_F(Gpu, LossScalerAdaptsAsOnTheCpu) {
  model::LossScaler scaler({c10::kCUDA, 0}, {.initial_scale = 1024, .growth_interval = 2});
  std::vector<double> scales;
  for (const bool overflows : {false, false, true, false, false}) {
    at::Tensor gradient = at::ones({2}, at::TensorOptions(at::kCUDA));
    if (overflows) gradient.fill_(std::numeric_limits<float>::infinity());
    scaler.Unscale(std::vector{gradient});
    scaler.Update();
    scales.push_back(scaler.StateTensors()[0].tensor.item<double>());
  }
  EXPECT_THAT(scales, testing::ElementsAre(1024, 2048, 1024, 1024, 2048));
}

}  // namespace
}  // namespace millrace::pipeline
