#include "pipeline/lane.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "model/precision.h"
#include "pipeline/cpu_device.h"
#include "tests/model/ranks.h"
#include "tests/support/error_text.h"

namespace millrace::pipeline {
namespace {

constexpr std::int64_t kClasses = 3;
constexpr int kSide = 32;
constexpr std::uint32_t kSamples = 4;
constexpr stages::ChannelStatistics kStatistics{{0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}};

// A CPU that works as a GPU does: two batches are there at a time, and results can be fetched later
// than the calls that make them return. It counts how many of them nobody has waited for.
class LateDevice final : public LaneDevice {
 public:
  explicit LateDevice(std::size_t* most_unfetched) : most_unfetched_(most_unfetched) {}

  c10::Device device() const override { return c10::kCPU; }
  bool CopiesAhead() const override { return true; }
  bool Busy() const noexcept override { return false; }
  void Enter() override {
    for (CpuDevice& buffer : buffers_) buffer.Enter();
  }
  void Copy(stages::Slot& slot) override { buffers_[started_++ % 2].Copy(slot); }
  stages::DeviceBatch Take() override { return buffers_[taken_++ % 2].Take(); }
  void WaitUntilRead() override {}
  at::Tensor Repeat(const stages::DeviceBatch& batch, const Step& step,
                    const std::vector<at::Tensor>&) override {
    return step(batch);
  }
  std::unique_ptr<Fetch> StartFetch(std::vector<at::Tensor> tensors) override {
    ++*unfetched_;
    *most_unfetched_ = std::max(*most_unfetched_, *unfetched_);
    for (at::Tensor& tensor : tensors) tensor = tensor.clone();
    return std::make_unique<Late>(std::move(tensors), unfetched_);
  }

 private:
  class Late final : public Fetch {
   public:
    Late(std::vector<at::Tensor> tensors, std::shared_ptr<std::size_t> unfetched)
        : tensors_(std::move(tensors)), unfetched_(std::move(unfetched)) {}
    const std::vector<at::Tensor>& Wait() override {
      if (!std::exchange(waited_, true)) --*unfetched_;
      return tensors_;
    }

   private:
    std::vector<at::Tensor> tensors_;
    std::shared_ptr<std::size_t> unfetched_;
    bool waited_ = false;
  };

  std::array<CpuDevice, 2> buffers_{CpuDevice(kStatistics, 1), CpuDevice(kStatistics, 1)};
  std::uint64_t started_ = 0;
  std::uint64_t taken_ = 0;
  std::shared_ptr<std::size_t> unfetched_ = std::make_shared<std::size_t>(0);
  std::size_t* most_unfetched_;
};

// Keeps what a lane says, in order.
class RecordingRun final : public LaneRun {
 public:
  double LearningRate(std::uint64_t step) const override { return 0.01 / (1 + double(step)); }
  bool EvaluatesAfter(std::uint64_t) const override { return false; }
  bool NeedsWeightsAfter(std::uint64_t step) const override { return step % 3 == 2; }
  std::uint32_t EvaluatingRanks(stages::Phase) const override { return 1; }
  bool Interrupted(std::uint64_t) const override { return steps.size() == interrupted_in; }
  void FinishStep(const FinishedStep& finished) override {
    steps.push_back(finished.step);
    losses.push_back(finished.loss);
    digests.push_back(finished.batch_digest);
    if (finished.interrupted) interrupted.push_back(finished.step);
    if (finished.state == nullptr) return;
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (const auto& entry : finished.state->network.state())
      sum += entry.tensor.detach().sum(at::kDouble);
    weights[finished.step] = sum.item<double>();
    if (finished.state->scaler != nullptr) {
      scales[finished.step] = finished.state->scaler->StateTensors()[0].tensor.item<double>();
    }
  }
  bool ContinueEvaluation(const stages::Batch&, const LaneState&) override {
    ++evaluation_batches;
    return true;
  }
  bool FinishEvaluation(const stages::Batch& batch, const model::EvaluationResult& result,
                        const LaneState&) override {
    phases.push_back(batch.phase);
    evaluations.push_back(result);
    return true;
  }

  std::size_t interrupted_in = 1000;       // when so many steps are finished
  std::vector<std::uint64_t> interrupted;  // steps that were said to be the last

  std::vector<std::uint64_t> steps;
  std::vector<double> losses;
  std::vector<std::uint64_t> digests;
  std::map<std::uint64_t, double> weights;  // after the steps for which there was a state
  std::map<std::uint64_t, double> scales;   // the same
  std::size_t evaluation_batches = 0;
  std::vector<model::EvaluationResult> evaluations;
  std::vector<stages::Phase> phases;  // theirs
};

struct Result {
  RecordingRun run;
  std::size_t most_unfetched = 0;
};

void Fill(stages::Slot& slot, const stages::Batch& batch) {
  slot.Begin(batch, {kSide, kSide});
  for (std::uint32_t i = 0; i < batch.size; ++i) {
    for (std::size_t j = 0; j < slot.image_bytes(); ++j) {
      slot.image(i)[j] = static_cast<std::uint8_t>(31 * j * (i + 1) + 7 * batch.sequence + j / 97);
    }
    slot.label(i) = static_cast<std::int64_t>((batch.sequence + i) % kClasses);
    slot.sample(i).sample_id = batch.sequence * kSamples + i;
    slot.sample(i).digest = batch.sequence;
  }
}

// Seven steps, then one batch of training samples that are evaluated and two of the others; as the
// graph would have the lane do them: copies one batch ahead where the lane takes that.
Result RunLane(bool late, std::uint32_t accumulation, model::Amp amp,
               std::size_t interrupted_in = 1000) {
  Result result;
  result.run.interrupted_in = interrupted_in;
  LaneGroup group;
  const auto loss = model::MakeLoss(Params("loss"));
  auto network = model::MakeNetwork(
      Params::FromJson(R"({"name": "resnet18", "width": 8})", "model"), kClasses, 1);
  auto optimizer = model::MakeOptimizer(
      Params::FromJson(R"({"name": "sgd", "lr": 0.01, "momentum": 0.9})", "optimizer"),
      network->parameters());
  std::unique_ptr<LaneDevice> device;
  if (late) {
    device = std::make_unique<LateDevice>(&result.most_unfetched);
  } else {
    device = std::make_unique<CpuDevice>(kStatistics, 1);
  }
  std::unique_ptr<model::LossScaler> scaler;
  if (amp == model::Amp::kFp16) scaler = std::make_unique<model::LossScaler>(c10::kCPU);
  Lane lane(
      {.lane = 0,
       .accumulation = accumulation,
       .device = std::move(device),
       .network = std::move(network),
       .optimizer = std::move(optimizer),
       .scaler = std::move(scaler),
       .amp = amp,
       .evaluations = {{stages::Phase::kTrainEval, {.samples = 1000, .notable = 2}},
                       {stages::Phase::kEvaluate, {.samples = 1000, .notable = 3, .curves = true}}},
       .loss = *loss,
       .run = result.run,
       .group = group});
  std::vector<stages::Batch> plan;
  for (std::uint64_t step = 0; step < 7; ++step) {
    for (std::uint32_t micro_batch = 0; micro_batch < accumulation; ++micro_batch) {
      plan.push_back({.step = step,
                      .micro_batch = micro_batch,
                      .size = kSamples,
                      .last = micro_batch + 1 == accumulation});
    }
  }
  plan.push_back({.phase = stages::Phase::kTrainEval, .step = 7, .size = 3, .last = true});
  plan.push_back({.phase = stages::Phase::kEvaluate, .step = 7, .size = kSamples});
  plan.push_back({.phase = stages::Phase::kEvaluate, .step = 7, .size = 2, .last = true});
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].sequence = i;

  stages::Slot first(0, kSamples, kSide * kSide * 3);
  stages::Slot second(1, kSamples, kSide * kSide * 3);
  const std::array slots{&first, &second};
  std::size_t copied = 0;
  const auto copy = [&] {
    if (copied == plan.size()) return;
    Fill(*slots[copied % 2], plan[copied]);
    lane.Copy(*slots[copied++ % 2]);
  };
  if (lane.CopiesAhead()) copy();
  for (std::size_t i = 0; i < plan.size(); ++i) {
    copy();
    lane.TrainStep(*slots[i % 2]);
    // The slot is free now: whoever still reads it reads this.
    Fill(*slots[i % 2], {.sequence = 99, .size = kSamples});
  }
  return result;
}

TEST(Lane, CopiesOfASampleLeaveOutPartsOfTheirOwn) {
  // One picture, four times.
  const auto loss_of = [](bool copies) {
    RecordingRun run;
    LaneGroup group;
    const auto loss = model::MakeLoss(Params("loss"));
    auto network = model::MakeNetwork(
        Params::FromJson(R"({"name": "resnet18", "width": 8, "stochastic_depth": 0.9})", "model"),
        kClasses, 1);
    auto optimizer = model::MakeOptimizer(
        Params::FromJson(R"({"name": "sgd", "lr": 0.01})", "optimizer"), network->parameters());
    Lane lane({.device = std::make_unique<CpuDevice>(kStatistics, 1),
               .network = std::move(network),
               .optimizer = std::move(optimizer),
               .scaler = nullptr,
               .loss = *loss,
               .run = run,
               .group = group});
    stages::Slot slot(0, kSamples, kSide * kSide * 3);
    Fill(slot, {.size = kSamples, .last = true});
    for (std::uint32_t i = 0; i < kSamples; ++i) {
      std::memcpy(slot.image(i), slot.image(0), slot.image_bytes());
      slot.label(i) = 0;
      slot.sample(i).sample_id = 5;
      if (copies) slot.sample(i).copy = i;
    }
    lane.Copy(slot);
    lane.TrainStep(slot);
    return run.losses.at(0);
  };
  EXPECT_EQ(loss_of(false), loss_of(false));
  EXPECT_EQ(loss_of(true), loss_of(true));
  EXPECT_NE(loss_of(true), loss_of(false));
}

class LateLosses : public testing::TestWithParam<std::uint32_t> {};

TEST_P(LateLosses, AreThoseOfADeviceThatIsWaitedFor) {
  const Result at_once = RunLane(false, GetParam(), model::Amp::kOff);
  const Result late = RunLane(true, GetParam(), model::Amp::kOff);
  EXPECT_THAT(at_once.run.steps, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_EQ(late.run.steps, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}))
      << "the last step's is still on its way, since nobody needed its weights";
  for (std::size_t i = 0; i < late.run.losses.size(); ++i) {
    EXPECT_EQ(late.run.losses[i], at_once.run.losses[i]) << i;
    EXPECT_EQ(late.run.digests[i], at_once.run.digests[i]) << i;
  }
  EXPECT_GE(late.most_unfetched, 2 * GetParam()) << "nothing was late";
  EXPECT_EQ(late.run.evaluation_batches, 3u);
  ASSERT_EQ(late.run.evaluations.size(), 2u);
  ASSERT_EQ(at_once.run.evaluations.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(late.run.evaluations[i].ToNumbers(), at_once.run.evaluations[i].ToNumbers());
  }
  EXPECT_THAT(late.run.phases,
              testing::ElementsAre(stages::Phase::kTrainEval, stages::Phase::kEvaluate));
  EXPECT_EQ(late.run.evaluations[0].counts().samples(), 3);
  EXPECT_EQ(late.run.evaluations[0].notable().hardest().size(), 2u);
  EXPECT_FALSE(late.run.evaluations[0].thresholds());
  EXPECT_EQ(late.run.evaluations[1].counts().samples(), kSamples + 2);
  EXPECT_EQ(late.run.evaluations[1].notable().hardest().size(), 3u);
  EXPECT_TRUE(late.run.evaluations[1].thresholds());
}

TEST_P(LateLosses, BringTheWeightsOfTheirOwnStepWhereTheyAreNeeded) {
  const Result at_once = RunLane(false, GetParam(), model::Amp::kOff);
  const Result late = RunLane(true, GetParam(), model::Amp::kOff);
  EXPECT_EQ(at_once.run.weights.size(), 7u);
  ASSERT_THAT(late.run.weights, testing::ElementsAre(testing::Key(2), testing::Key(5)));
  for (const auto& [step, sum] : late.run.weights) EXPECT_EQ(sum, at_once.run.weights.at(step));
}

TEST_P(LateLosses, InterruptionEndsBehindTheNextStepOfWhichTheStateIsThere) {
  const Result at_once = RunLane(false, GetParam(), model::Amp::kOff, 3);
  EXPECT_THAT(at_once.run.steps, testing::ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(at_once.run.interrupted, testing::ElementsAre(3));
  EXPECT_TRUE(at_once.run.weights.contains(3));
  const Result late = RunLane(true, GetParam(), model::Amp::kOff, 3);
  // Asked while the report of step 3 is made, when step 4 is under way.
  EXPECT_THAT(late.run.steps, testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(late.run.interrupted, testing::ElementsAre(3, 4));
  EXPECT_THAT(late.run.weights, testing::ElementsAre(testing::Key(2), testing::Key(4)));
  EXPECT_EQ(late.run.evaluation_batches, 0u);
}

INSTANTIATE_TEST_SUITE_P(Lane, LateLosses, testing::Values(1u, 3u));

TEST(CpuDevice, Bfloat16ImagesAreWhatAutocastMakesOfFloat32s) {
  // Every value of every channel, and an end that fills no vector.
  stages::Slot slot(0, 1, std::size_t{257} * 3);
  slot.Begin({.size = 1}, {257, 1});
  for (std::size_t i = 0; i < slot.image_bytes(); ++i) {
    slot.image(0)[i] = static_cast<std::uint8_t>(i / 3 + 85 * (i % 3));
  }
  const auto images = [&slot](c10::ScalarType type) {
    CpuDevice device(kStatistics, 1, {.type = type});
    device.Copy(slot);
    return device.Take().images;
  };
  const at::Tensor rounded = images(at::kBFloat16);
  EXPECT_EQ(rounded.scalar_type(), at::kBFloat16);
  EXPECT_EQ(rounded.strides(), images(at::kFloat).strides());
  EXPECT_TRUE(at::equal(rounded, images(at::kFloat).to(at::kBFloat16)));
  const at::Tensor weight = at::linspace(-1, 1, 4 * 3).view({4, 3, 1, 1});
  const model::Autocast autocast(model::Amp::kBf16, at::kCPU);
  EXPECT_TRUE(at::equal(at::conv2d(rounded, weight), at::conv2d(images(at::kFloat), weight)));
}

TEST(RunOnDevice, SaysWhatToDoAboutMemory) {
  const CpuDevice device(kStatistics, 1);
  EXPECT_EQ(test::ErrorOf([&] {
              RunOnDevice(device, [] {
                TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried 2 GiB");
              });
            }),
            "cpu has not enough memory; a smaller batch.per_device or batch.evaluate_per_device "
            "needs less (CUDA out of memory. Tried 2 GiB)");
  EXPECT_EQ(test::ErrorOf([&] {
              RunOnDevice(device, [] { TORCH_CHECK(false, "no kernel for this\nat line 1"); });
            }),
            "cpu: no kernel for this");
  EXPECT_EQ(test::ErrorOf([&] { RunOnDevice(device, [] { Fail("ours"); }); }), "ours");
}

TEST(LaneGroup, SynchronisedMicroBatchIsNormalisedTogetherAndCountsAsWaiting) {
  const model::Store store = model::Store::InProcess();
  std::vector<std::unique_ptr<model::Network>> networks;
  for (int rank = 0; rank < 2; ++rank) {
    networks.push_back(model::MakeNetwork(
        Params::FromJson(R"({"name": "resnet18", "width": 8, "sync_batch_norm": true})", "model"),
        kClasses, 1));
  }
  model::OnRanks(2, [&](std::uint32_t rank) {
    model::Network& network = *networks[rank];
    LaneGroup group({.store = store, .rank = rank, .world_size = 2}, network, /*trains=*/false);
    group.Synchronize(network);
    const at::Tensor images = at::full({2, 3, kSide, kSide}, 1.0 + rank);
    group.Accumulate(7, [&] {
      // So that a rank that does not come can be named.
      EXPECT_STREQ(group.waiting().what, "the statistics of batch normalisation");
      EXPECT_EQ(group.waiting().step, 7u);
      EXPECT_GT(group.waiting().since_ns, 0);
      network.Forward(images, /*training=*/true);
    });
    EXPECT_EQ(group.waiting().since_ns, 0);
    // Nobody leaves while others still read.
    store.Add("done", 1);
    while (store.Add("done", 0) < 2) std::this_thread::yield();
  });
  const at::Tensor mean = networks[0]->buffers()[0].tensor;
  EXPECT_GT(mean.abs().max().item<double>(), 0);
  EXPECT_TRUE(at::equal(mean, networks[1]->buffers()[0].tensor));
}

// The network of these tests is too small and its batches too few for later steps to stay close.
TEST(Lane, FirstLossInSixteenBitsIsNearFloat32s) {
  const Result wanted = RunLane(false, 1, model::Amp::kOff);
  for (const model::Amp amp : {model::Amp::kBf16, model::Amp::kFp16}) {
    const Result got = RunLane(false, 1, amp);
    ASSERT_EQ(got.run.losses.size(), wanted.run.losses.size());
    EXPECT_NEAR(got.run.losses[0], wanted.run.losses[0], amp == model::Amp::kFp16 ? 0.03 : 0.2);
    EXPECT_NE(got.run.losses[0], wanted.run.losses[0]) << "nothing was computed in 16 bits";
    EXPECT_EQ(got.run.scales.size(), amp == model::Amp::kFp16 ? 7u : 0u);
  }
}

TEST(Lane, Float16WithLateLossesGivesTheSame) {
  const Result at_once = RunLane(false, 3, model::Amp::kFp16);
  const Result late = RunLane(true, 3, model::Amp::kFp16);
  for (std::size_t i = 0; i < late.run.losses.size(); ++i) {
    EXPECT_EQ(late.run.losses[i], at_once.run.losses[i]) << i;
  }
  EXPECT_EQ(late.run.scales.at(5), at_once.run.scales.at(5));
}

}  // namespace
}  // namespace millrace::pipeline
