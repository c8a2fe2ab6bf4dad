#include "pipeline/loader_stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "pipeline/batch_plan.h"
#include "pipeline/graph.h"
#include "pipeline/sample_order.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/stages/gpu/twin.h"

namespace millrace::pipeline {
namespace {

namespace fs = std::filesystem;
using stages::Batch;
using stages::Phase;
using stages::Sample;
using stages::Slot;
using test::ErrorOf;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// Keeps the digest of every batch and, where asked to, looks at the slot.
class RecordingLane final : public LaneWork {
 public:
  std::function<void(const Slot&)> on_step = [](const Slot&) {};
  std::vector<std::tuple<Phase, std::uint64_t, std::uint64_t>> digests;  // phase, step, digest

  void Copy(Slot&) override {}
  void TrainStep(const Slot& slot) override {
    digests.emplace_back(slot.batch().phase, slot.batch().step, slot.Digest());
    on_step(slot);
  }
};

class LoaderStagesTest : public test::LoaderTest {
 protected:
  // Epochs of 24 samples in batches of 4, each followed by an evaluation of 9 in batches of 5,
  // and before that by one of training samples, where the recipe has such.
  void Run(LoaderStages& loaders, RecordingLane& lane, int workers, std::uint32_t slots = 3,
           std::size_t max_image_bytes = 3 * 24 * 22, std::uint32_t epochs = 2) {
    BatchPlan plan({.train_samples = loaders.train().size(),
                    .train_eval_samples = loaders.num_samples(Phase::kTrainEval),
                    .evaluate_samples = loaders.num_samples(Phase::kEvaluate),
                    .per_device = 4,
                    .evaluate_per_device = 5,
                    .epochs = epochs});
    Stop stop;
    StageStats stats;
    RunGraph(
        {.workers = workers,
         .num_slots = slots,
         .max_batch = 5,
         .max_image_bytes = max_image_bytes},
        [&plan] { return plan.Next(); }, loaders, {&lane}, stop, stats);
  }

  fs::path Shard(std::uint64_t index) const {
    return dataset_ / storage::ShardFileName("train", index, 2);
  }
};

TEST_F(LoaderStagesTest, PixelsAndLabelsAreThoseOfTheWholePictureTransformedByHand) {
  const Recipe recipe = LoadRecipe({"data.train_eval.limit=7"});
  LoaderStages loaders(recipe, dataset_);
  ASSERT_EQ(loaders.train().size(), 24u);
  ASSERT_EQ(loaders.val()->size(), 9u);
  EXPECT_EQ(loaders.PictureSize(Phase::kTrain), (stages::Size{20, 20}));
  EXPECT_EQ(loaders.PictureSize(Phase::kEvaluate), (stages::Size{24, 22}));
  std::set<std::uint64_t> flips;
  std::multiset<std::uint64_t> trained;
  RecordingLane lane;
  lane.on_step = [&](const Slot& slot) {
    const Phase phase = slot.batch().phase;
    const storage::SplitReader& reader =
        phase == Phase::kEvaluate ? *loaders.val() : loaders.train();
    const std::map<Phase, std::uint32_t> epochs = {
        {Phase::kTrain, slot.batch().epoch},
        {Phase::kTrainEval, 0x80000001u + slot.batch().epoch},
        {Phase::kEvaluate, 0}};
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      const std::uint64_t id = slot.sample(i).sample_id;
      if (phase == Phase::kTrain) trained.insert(id);
      const auto pixels = slot.pixels().subspan(i * slot.image_bytes(), slot.image_bytes());
      const RandomKey key{.seed = 11, .epoch = epochs.at(phase), .sample_id = id};
      EXPECT_TRUE(std::ranges::equal(pixels, Expected(reader, recipe.LoaderOf(phase)->ops, key)))
          << "sample " << id;
      EXPECT_EQ(slot.labels()[i], static_cast<std::int64_t>(reader.Read(id)->label));
      EXPECT_EQ(slot.sample(i).digest, Hash64(std::as_bytes(pixels)));
    }
  };
  Run(loaders, lane, 2);
  EXPECT_EQ(lane.digests.size(), 2u * (6 + 2 + 2));
  // Every sample once in each of the two epochs.
  ASSERT_EQ(trained.size(), 48u);
  for (std::uint64_t id = 0; id < 24; ++id) EXPECT_EQ(trained.count(id), 2u);
}

// The batches that a lane gets whose device decodes, as the kernels' twin makes them.
// Operations that change pixels, some of them with memory of the worker's.
constexpr const char* kPixelOps =
    "data.train.ops=[{ op = 'random_resized_crop', size = 20 }, { op = 'horizontal_flip' }, "
    "{ op = 'color_jitter', brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 }, "
    "{ op = 'gaussian_blur' }, { op = 'rotate' }, "
    "{ op = 'coarse_dropout', max_height = 5, max_width = 5 }]";

TEST_F(LoaderStagesTest, PixelOperationsChangeWhatTheGeometryLeavesWhateverTheWorkers) {
  const Recipe recipe = LoadRecipe({kPixelOps});
  std::vector<std::tuple<Phase, std::uint64_t, std::uint64_t>> first;
  for (const int workers : {1, 4}) {
    LoaderStages loaders(recipe, dataset_);
    RecordingLane lane;
    int checked = 0;
    lane.on_step = [&](const Slot& slot) {
      if (slot.batch().phase != Phase::kTrain) return;
      for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
        const RandomKey key{.seed = recipe.seed,
                            .epoch = slot.batch().epoch,
                            .sample_id = slot.sample(i).sample_id};
        const auto expected = Expected(loaders.train(), recipe.train.ops, key);
        const auto pixels = slot.pixels().subspan(i * slot.image_bytes(), slot.image_bytes());
        EXPECT_TRUE(std::equal(pixels.begin(), pixels.end(), expected.begin(), expected.end()));
        EXPECT_EQ(slot.sample(i).digest, Hash64(std::as_bytes(pixels)));
        ++checked;
      }
    };
    Run(loaders, lane, workers);
    EXPECT_EQ(checked, 48);
    if (first.empty()) first = lane.digests;
    EXPECT_EQ(lane.digests, first);
  }
}

TEST_F(LoaderStagesTest, GrowingPicturesAreThoseOfALoaderOfTheirEpochsSize) {
  // With operations that look at the size.
  const auto ops = [](int side) {
    return "data.train.ops=[{ op = 'random_resized_crop', size = " + std::to_string(side) +
           " }, { op = 'horizontal_flip' }, { op = 'shear_x' }, { op = 'translate_y' }, "
           "{ op = 'random_erasing', p = 1.0 }]";
  };
  const std::vector<int> sides = {8, 12, 16, 20};
  for (const char* engine : {"region", "libjpeg-turbo"}) {
    const std::string decode = std::string("decode.engine=") + engine;
    const Recipe recipe = LoadRecipe(
        {decode, ops(20),
         "data.train.progressive={ from = 8, begin_epoch = 0, end_epoch = 3, step = 4 }"});
    LoaderStages loaders(recipe, dataset_);
    EXPECT_EQ(loaders.PictureSize(Phase::kTrain), (stages::Size{20, 20}));
    RecordingLane lane;
    std::map<std::uint32_t, int> pictures;  // by epoch
    lane.on_step = [&](const Slot& slot) {
      if (slot.batch().phase == Phase::kEvaluate) {
        EXPECT_EQ(slot.picture(), (stages::Size{24, 22}));
        return;
      }
      const std::uint32_t epoch = slot.batch().epoch;
      const int side = sides.at(epoch);
      ASSERT_EQ(slot.picture(), (stages::Size{side, side}));
      const std::vector<Params> of_epoch = LoadRecipe({ops(side)}).train.ops;
      for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
        const RandomKey key{
            .seed = recipe.seed, .epoch = epoch, .sample_id = slot.sample(i).sample_id};
        const auto pixels = slot.pixels().subspan(i * slot.image_bytes(), slot.image_bytes());
        EXPECT_TRUE(std::ranges::equal(pixels, Expected(loaders.train(), of_epoch, key)));
        EXPECT_EQ(slot.sample(i).digest, Hash64(std::as_bytes(pixels)));
        ++pictures[epoch];
      }
    };
    Run(loaders, lane, 2, 3, 3 * 24 * 22, 4);
    EXPECT_EQ(pictures, (std::map<std::uint32_t, int>{{0, 24}, {1, 24}, {2, 24}, {3, 24}}));
  }
}

TEST_F(LoaderStagesTest, RepeatedSamplesHaveDrawsOfTheirOwnInTheOrderOfTheEpoch) {
  // Batches of 4 are 2 samples, twice.
  const Recipe recipe = LoadRecipe({"data.train.repeats=2"});
  const Recipe once = LoadRecipe();
  std::vector<RecordingLane> lanes(2);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    LoaderStages loaders(recipe, dataset_);
    LoaderStages plain(once, dataset_);
    std::map<std::uint32_t, std::set<std::vector<std::uint8_t>>> pictures;  // of epochs
    lanes[i].on_step = [&](const Slot& slot) {
      const Batch& batch = slot.batch();
      if (batch.phase == Phase::kEvaluate) {
        EXPECT_EQ(slot.sample(0).copy, 0u);
        return;
      }
      for (std::uint32_t at = 0; at < batch.size; ++at) {
        const std::uint64_t id = slot.sample(at).sample_id;
        const std::uint64_t place = batch.first_position / 2 + at % 2;
        EXPECT_EQ(id, plain.KeyAt({.epoch = batch.epoch}, place).sample_id);
        EXPECT_EQ(slot.sample(at).copy, at / 2);
        const RandomKey key{.seed = 11, .epoch = 2 * batch.epoch + at / 2, .sample_id = id};
        const auto pixels = slot.pixels().subspan(at * slot.image_bytes(), slot.image_bytes());
        EXPECT_TRUE(std::ranges::equal(pixels, Expected(loaders.train(), recipe.train.ops, key)));
        EXPECT_EQ(slot.labels()[at], slot.labels()[at % 2]);
        pictures[batch.epoch].emplace(pixels.begin(), pixels.end());
      }
    };
    Run(loaders, lanes[i], i == 0 ? 1 : 4, i == 0 ? 1 : 5);
    // As many steps as without, with another picture at each place.
    EXPECT_EQ(lanes[i].digests.size(), 2u * (6 + 2));
    EXPECT_EQ(pictures[0].size(), 24u);
    EXPECT_EQ(pictures[1].size(), 24u);
  }
  EXPECT_EQ(lanes[1].digests, lanes[0].digests);
}

TEST_F(LoaderStagesTest, GrowthThatOpsDoNotAllowIsRefusedWithoutADataset) {
  const auto error_of = [&](const std::string& settings) {
    const Recipe recipe = LoadRecipe({"data.train.progressive={" + settings + "}"});
    return test::UsageErrorOf([&] { CheckLoaders(recipe); });
  };
  EXPECT_EQ(error_of("from = 10, begin_epoch = 0, end_epoch = 1, step = 5"), "");
  EXPECT_THAT(error_of("from = 32, begin_epoch = 0, end_epoch = 1"),
              EndsWith("recipe.toml: data.train.progressive.from: is 32; it must be less than the "
                       "20 pixels of ops, to which pictures grow"));
}

TEST_F(LoaderStagesTest, PixelOperationsOnTheGpuAreRefused) {
  const Recipe recipe = LoadRecipe({"decode.device=gpu", kPixelOps});
  EXPECT_THAT(ErrorOf([&] { CheckLoaders(recipe); }),
              EndsWith("recipe.toml: decode.device: is \"gpu\", which crops, resizes and flips, "
                       "but a loader's ops change pixels after that; remove those operations, or "
                       "decode.device"));
}

TEST_F(LoaderStagesTest, CargoForTheGpuMakesThePixelsAndDigestsOfTheCpu) {
  // Of 32, 48 and 64 pixels.
  const std::vector<std::string> settings = {
      "data.train.ops=[{ op = 'random_resized_crop', size = 64, scale = [0.2, 1.0] },"
      " { op = 'horizontal_flip' }]",
      "data.train.progressive={ from = 32, begin_epoch = 0, end_epoch = 2, step = 16 }",
      "data.val.ops=[{ op = 'resize', size = 20 }, { op = 'center_crop', size = 8 }]"};
  std::vector<std::string> for_gpu = settings;
  for_gpu.emplace_back("decode.device=gpu");
  using Batches = std::vector<std::vector<std::uint8_t>>;
  Batches of_cpu;
  Batches of_gpu;
  std::vector<std::uint64_t> digests[2];

  LoaderStages cpu(LoadRecipe(settings), dataset_);
  RecordingLane cpu_lane;
  cpu_lane.on_step = [&](const Slot& slot) {
    EXPECT_TRUE(slot.cargo().empty());
    of_cpu.emplace_back(slot.pixels().begin(), slot.pixels().end());
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      digests[0].push_back(slot.sample(i).digest);
    }
  };
  Run(cpu, cpu_lane, 2, 3, 3 * 64 * 64, 3);

  LoaderStages gpu(LoadRecipe(for_gpu), dataset_);
  RecordingLane gpu_lane;
  std::uint64_t finished = 0;
  gpu_lane.on_step = [&](const Slot& slot) {
    std::vector<stages::gpu::Picture> pictures;
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      pictures.push_back(slot.sample(i).for_device);
      EXPECT_EQ(pictures.back().output, i);
    }
    const auto made = stages::gpu::DecodeByTwin(pictures, std::as_bytes(slot.cargo()),
                                                static_cast<std::uint32_t>(slot.image_bytes()));
    for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
      EXPECT_EQ(made.results[i].is_damaged, 0u);
      const bool is_finished = pictures[i].kind == stages::gpu::Kind::kPixels;
      finished += is_finished ? 1 : 0;
      digests[1].push_back(is_finished ? slot.sample(i).digest : made.results[i].digest);
      // What the lane does where the device could not.
      std::vector<std::uint8_t> pixels(slot.image_bytes());
      gpu.DecodeOnHost(slot, i, pixels.data());
      EXPECT_TRUE(std::ranges::equal(
          pixels, std::span(made.pixels).subspan(i * slot.image_bytes(), slot.image_bytes())));
    }
    of_gpu.push_back(made.pixels);
  };
  Run(gpu, gpu_lane, 2, 3, 3 * 64 * 64, 3);

  EXPECT_TRUE(of_gpu == of_cpu);
  EXPECT_TRUE(digests[1] == digests[0]);
  // Pictures of 8 x 8 have too few bytes for the digest that the device knows.
  EXPECT_EQ(finished, 3u * 9);
  EXPECT_EQ(gpu.decoded().gpu, 3u * 24);
}

TEST_F(LoaderStagesTest, FastDecodeOnTheGpuIsRefused) {
  const Recipe recipe = LoadRecipe({"decode.device=gpu", "decode.mode=fast"});
  EXPECT_THAT(
      test::UsageErrorOf([&] { LoaderStages(recipe, dataset_); }),
      EndsWith("recipe.toml: decode.mode: is \"fast\", which the GPU does not know and does "
               "not need; remove it, or decode.device"));
}

TEST_F(LoaderStagesTest, FastDecodeGivesOtherPixelsNearbyWhateverTheWorkers) {
  const std::vector<std::string> small = {
      "data.train.ops=[{ op = 'random_resized_crop', size = 8, scale = [0.5, 1.0] }]"};
  const Recipe exact = LoadRecipe(small);
  std::vector<std::string> settings = small;
  settings.emplace_back("decode.mode=fast");
  const Recipe fast = LoadRecipe(settings);
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::uint8_t>> pixels[2];
  const auto run = [&](const Recipe& recipe, int workers, std::size_t to) {
    LoaderStages loaders(recipe, dataset_);
    RecordingLane lane;
    lane.on_step = [&](const Slot& slot) {
      if (slot.batch().phase != Phase::kTrain) return;
      for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
        const auto of_sample = slot.pixels().subspan(i * slot.image_bytes(), slot.image_bytes());
        pixels[to][{slot.batch().epoch, slot.sample(i).sample_id}] = {of_sample.begin(),
                                                                      of_sample.end()};
      }
    };
    Run(loaders, lane, workers);
    return lane.digests;
  };
  run(exact, 2, 0);
  const auto digests = run(fast, 2, 1);
  EXPECT_EQ(run(fast, 8, 1), digests);
  ASSERT_EQ(pixels[1].size(), 48u);
  int differing = 0;
  for (const auto& [sample, is_fast] : pixels[1]) {
    const auto& is_exact = pixels[0].at(sample);
    if (is_fast != is_exact) ++differing;
    double distance = 0;
    for (std::size_t i = 0; i < is_fast.size(); ++i) distance += std::abs(is_fast[i] - is_exact[i]);
    EXPECT_LT(distance / static_cast<double>(is_fast.size()), 8) << "sample " << sample.second;
  }
  EXPECT_GT(differing, 24);
}

TEST_F(LoaderStagesTest, FastDecodeThatCannotHaveAnEffectIsAnError) {
  const auto check = [&](const char* train, const char* val) {
    const Recipe recipe = LoadRecipe({"decode.mode=fast", std::string("data.train.ops=") + train,
                                      std::string("data.val.ops=") + val});
    CheckLoaders(recipe);
  };
  constexpr const char* kCrop = "[{ op = 'center_crop', size = 20 }]";
  constexpr const char* kOpenCv = "[{ op = 'resize', width = 20, height = 20, resize = 'opencv' }]";
  constexpr const char* kPillow = "[{ op = 'resize', width = 20, height = 20 }]";
  for (const char* train : {kCrop, kOpenCv}) {
    EXPECT_THAT(
        ErrorOf([&] { check(train, kCrop); }),
        EndsWith("recipe.toml: decode.mode: has no effect: \"fast\" decodes a picture "
                 "smaller where an operation with resize = \"pillow\" or \"pillow12\" makes "
                 "it small, and no loader has one; remove it"));
    EXPECT_NO_THROW(check(train, kPillow));
  }
  EXPECT_NO_THROW(check(kPillow, kOpenCv));
}

TEST_F(LoaderStagesTest, BatchesAreTheSameWithAnyNumberOfWorkersAndSlots) {
  const Recipe recipe = LoadRecipe();
  std::vector<RecordingLane> lanes(5);
  const std::pair<int, std::uint32_t> settings[] = {{1, 1}, {1, 4}, {2, 3}, {8, 2}, {8, 6}};
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    LoaderStages loaders(recipe, dataset_);
    Run(loaders, lanes[i], settings[i].first, settings[i].second);
  }
  ASSERT_EQ(lanes[0].digests.size(), 16u);
  for (const RecordingLane& lane : lanes) EXPECT_EQ(lane.digests, lanes[0].digests);
}

TEST_F(LoaderStagesTest, EvaluationsAreEqualAndEpochsAreNot) {
  // An operation that draws, in the evaluation too.
  const Recipe recipe = LoadRecipe(
      {"data.val.ops=[{ op = 'random_resized_crop', size = 20 }, { op = 'horizontal_flip' }]"});
  LoaderStages loaders(recipe, dataset_);
  RecordingLane lane;
  Run(loaders, lane, 2);
  std::map<std::uint64_t, std::vector<std::uint64_t>> evaluations;  // digests by step
  std::set<std::uint64_t> training;
  for (const auto& [phase, step, digest] : lane.digests) {
    if (phase == Phase::kEvaluate) evaluations[step].push_back(digest);
    if (phase == Phase::kTrain) training.insert(digest);
  }
  ASSERT_EQ(evaluations.size(), 2u);
  EXPECT_EQ(evaluations[6], evaluations[12]);
  EXPECT_EQ(training.size(), 12u) << "two training batches were equal";
}

TEST_F(LoaderStagesTest, LimitChoosesDifferentSamplesByTheSeed) {
  const auto chosen = [this](const std::vector<std::string>& settings, Phase phase) {
    const Recipe recipe = LoadRecipe(settings);
    LoaderStages loaders(recipe, dataset_);
    std::vector<std::uint64_t> ids;
    for (std::uint64_t at = 0; at < loaders.num_samples(phase); ++at) {
      ids.push_back(loaders.KeyAt({.phase = phase, .epoch = 3}, at).sample_id);
      if (phase != Phase::kTrain) {
        EXPECT_EQ(loaders.EvaluatedSample(phase, at), ids.back());
      }
    }
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end()) << "one sample twice";
    return ids;
  };
  for (const auto& [limit, phase, all] :
       {std::tuple("data.train.limit=10", Phase::kTrain, 24u),
        std::tuple("data.train_eval.limit=10", Phase::kTrainEval, 24u),
        std::tuple("data.val.limit=5", Phase::kEvaluate, 9u)}) {
    const auto some = chosen({limit}, phase);
    EXPECT_EQ(some.size(), phase == Phase::kEvaluate ? 5u : 10u);
    EXPECT_LT(some.back(), all);
    EXPECT_EQ(chosen({limit}, phase), some);
    EXPECT_NE(chosen({limit, "seed=12"}, phase), some);
    EXPECT_EQ(chosen({"data.train_eval.limit=0"}, phase).size(), all);
  }
  EXPECT_EQ(chosen({"data.train.limit=25"}, Phase::kTrain).size(), 24u);
  // Of a training that is limited, too, those that are trained on.
  EXPECT_EQ(chosen({"data.train.limit=10", "data.train_eval.limit=10"}, Phase::kTrainEval),
            chosen({"data.train.limit=10"}, Phase::kTrain));
}

TEST_F(LoaderStagesTest, EpochsOfALimitedLoaderAreOrdersOfTheSameSamples) {
  LoaderStages loaders(LoadRecipe({"data.train.limit=10"}), dataset_);
  const auto epoch = [&](std::uint32_t number) {
    std::vector<std::uint64_t> ids;
    for (std::uint64_t at = 0; at < 10; ++at) {
      ids.push_back(loaders.KeyAt({.phase = Phase::kTrain, .epoch = number}, at).sample_id);
    }
    return ids;
  };
  const auto first = epoch(0);
  const auto second = epoch(1);
  EXPECT_NE(first, second);
  EXPECT_THAT(second, testing::UnorderedElementsAreArray(first));
}

TEST_F(LoaderStagesTest, KeysOfAnEvaluationDependOnThePositionAlone) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  for (const std::uint32_t epoch : {0u, 1u, 7u}) {
    for (std::uint64_t position = 0; position < 9; ++position) {
      const RandomKey key = loaders.KeyAt({.phase = Phase::kEvaluate, .epoch = epoch}, position);
      EXPECT_EQ(key.seed, 11u);
      EXPECT_EQ(key.epoch, 0u);
      EXPECT_EQ(key.sample_id, position);
    }
  }
}

TEST_F(LoaderStagesTest, EvaluatedTrainingSamplesDrawAnewAfterEachEpochAndNeverAsTrainingDoes) {
  LoaderStages loaders(LoadRecipe({"data.train_eval.limit=0"}), dataset_);
  const auto key = [&](std::uint64_t step, std::uint32_t epoch) {
    return loaders.KeyAt({.phase = Phase::kTrainEval, .epoch = epoch, .step = step}, 7);
  };
  // Before all steps, then after the first, the second and the last epoch that there can be.
  EXPECT_EQ(key(0, 0).epoch, 0x80000000u);
  EXPECT_EQ(key(6, 0).epoch, 0x80000001u);
  EXPECT_EQ(key(12, 1).epoch, 0x80000002u);
  EXPECT_EQ(key(12, 0x7FFFFFFE).epoch, 0xFFFFFFFFu);
  EXPECT_EQ(key(12, 1).seed, 11u);
  EXPECT_EQ(key(12, 1).sample_id, 7u);
}

TEST_F(LoaderStagesTest, LoaderThatTheRecipeDoesNotHaveHasNoSamples) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  EXPECT_EQ(loaders.num_samples(Phase::kTrainEval), 0u);
  EXPECT_EQ(loaders.PictureSize(Phase::kTrainEval), (stages::Size{0, 0}));
  LoaderStages trains(LoadRecipe({"data.train_eval.limit=3"}), dataset_, {Phase::kTrain});
  EXPECT_EQ(trains.num_samples(Phase::kTrain), 24u);
  EXPECT_EQ(trains.num_samples(Phase::kTrainEval), 0u);
  EXPECT_EQ(trains.val(), nullptr);
}

TEST_F(LoaderStagesTest, KeysOfTrainingFollowTheSampleOrderOfTheEpoch) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  for (const std::uint32_t epoch : {0u, 3u, 0u}) {
    const SampleOrder order(24, Shuffle::kFull, 11, epoch);
    for (std::uint64_t position = 0; position < 24; ++position) {
      const RandomKey key = loaders.KeyAt({.phase = Phase::kTrain, .epoch = epoch}, position);
      EXPECT_EQ(key.seed, 11u);
      EXPECT_EQ(key.epoch, epoch);
      EXPECT_EQ(key.sample_id, order.At(position));
    }
  }
  LoaderStages stored(LoadRecipe({"data.train.shuffle=none"}), dataset_);
  EXPECT_EQ(stored.KeyAt({.phase = Phase::kTrain, .epoch = 5}, 17).sample_id, 17u);
}

TEST_F(LoaderStagesTest, PrefetchOfOtherEpochsDoesNotChangeKeys) {
  for (const char* shuffle : {"data.train.shuffle=full", "data.train.shuffle=blocks"}) {
    LoaderStages loaders(LoadRecipe({shuffle}), dataset_);
    LoaderStages undisturbed(LoadRecipe({shuffle}), dataset_);
    for (std::uint64_t position = 0; position < 24; ++position) {
      loaders.Prefetch({.epoch = 4, .first_position = position, .size = 1});
      loaders.Prefetch({.phase = Phase::kEvaluate, .first_position = position % 9, .size = 1});
      EXPECT_EQ(loaders.KeyAt({.epoch = 3}, position).sample_id,
                undisturbed.KeyAt({.epoch = 3}, position).sample_id);
    }
  }
}

TEST_F(LoaderStagesTest, ReadsAreCounted) {
  LoaderStages loaders(LoadRecipe(), dataset_);
  EXPECT_EQ(loaders.reads().total, 0u);
  RecordingLane lane;
  Run(loaders, lane, 2);
  EXPECT_EQ(loaders.reads().total, 2u * (24 + 9));
  // Pages of a file that has just been written are in memory, whatever thread loses its core.
  EXPECT_LT(loaders.reads().late, loaders.reads().total / 2);
}

TEST_F(LoaderStagesTest, BatchesPastThePageCacheAreTheSame) {
  const Recipe recipe = LoadRecipe({"data.train.shuffle=blocks"});
  RecordingLane expected;
  LoaderStages through(recipe, dataset_);
  Run(through, expected, 2);
  for (const int workers : {1, 4}) {
    RecordingLane lane;
    LoaderStages past(recipe, dataset_);
    past.BypassPageCache();
    Run(past, lane, workers);
    EXPECT_EQ(lane.digests, expected.digests);
    // Those of the two evaluations alone.
    EXPECT_EQ(past.reads().total, 2u * 9);
  }
}

TEST_F(LoaderStagesTest, RecordsPastThePageCacheLastUntilTheDeviceHasDecoded) {
  const Recipe recipe = LoadRecipe({"data.train.shuffle=blocks", "decode.device=gpu"});
  const auto run = [&](bool bypasses) {
    std::vector<std::vector<std::uint8_t>> pictures;
    LoaderStages loaders(recipe, dataset_);
    if (bypasses) loaders.BypassPageCache();
    RecordingLane lane;
    // What the lane does where the device could not.
    lane.on_step = [&](const Slot& slot) {
      for (std::uint32_t i = 0; i < slot.batch().size; ++i) {
        loaders.DecodeOnHost(slot, i, pictures.emplace_back(slot.image_bytes()).data());
      }
    };
    Run(loaders, lane, 4);
    return pictures;
  };
  const auto expected = run(false);
  ASSERT_EQ(expected.size(), 2u * (24 + 9));
  EXPECT_TRUE(run(true) == expected);
}

TEST_F(LoaderStagesTest, PictureOfAnEvaluationMadeAnewIsTheOneThatTheGraphMade) {
  // A random operation, too, and pictures that a GPU would decode.
  for (const std::vector<std::string>& overrides : std::vector<std::vector<std::string>>{
           {},
           {"data.val.ops=[{ op = \"random_resized_crop\", width = 24, height = 22 }, "
            "{ op = \"horizontal_flip\" }]"},
           {"decode.mode=fast"},
           {"data.train_eval.limit=7"}}) {
    const Recipe recipe = LoadRecipe(overrides);
    LoaderStages loaders(recipe, dataset_);
    RecordingLane lane;
    std::size_t compared = 0;
    std::vector<std::uint8_t> fourth;
    lane.on_step = [&](const Slot& slot) {
      const Batch& batch = slot.batch();
      if (batch.phase == Phase::kTrain) return;
      for (std::uint32_t i = 0; i < batch.size; ++i) {
        const std::uint64_t id = loaders.EvaluatedSample(batch.phase, batch.first_position + i);
        EXPECT_EQ(id, slot.sample(i).sample_id);
        const std::vector<std::uint8_t> picture = loaders.MakePicture(batch, id);
        EXPECT_TRUE(std::ranges::equal(
            picture, slot.pixels().subspan(i * slot.image_bytes(), slot.image_bytes())))
            << id;
        ++compared;
        if (id == 4 && batch.phase == Phase::kEvaluate) fourth = picture;
      }
    };
    Run(loaders, lane, 2);
    EXPECT_EQ(compared, 2 * (9 + loaders.num_samples(Phase::kTrainEval)));
    const Recipe on_gpu = LoadRecipe({"decode.device=gpu"});
    if (overrides.empty()) {
      EXPECT_EQ(LoaderStages(on_gpu, dataset_).MakePicture({.phase = Phase::kEvaluate}, 4), fourth);
    }
  }
}

TEST_F(LoaderStagesTest, FlippedByteInARecordNamesSampleShardAndKey) {
  std::uint64_t size_of_first = 0;
  std::string payload;
  {
    const storage::SplitReader reader(dataset_, "train");
    size_of_first = reader.split().shards[0].records;
    const auto record = *reader.Read(size_of_first + 3);
    payload.assign(reinterpret_cast<const char*>(record.payload.data()), record.payload.size());
  }
  std::string shard = ReadFile(Shard(1));
  const std::size_t at = shard.find(payload);
  ASSERT_NE(at, std::string::npos);
  shard[at + payload.size() / 2] ^= 1;
  test::WriteText(Shard(1), shard);

  LoaderStages loaders(LoadRecipe(), dataset_);
  RecordingLane lane;
  const std::string error = ErrorOf([&] { Run(loaders, lane, 2); });
  EXPECT_THAT(error, StartsWith("sample " + std::to_string(size_of_first + 3) +
                                ": train-00001-of-00002.lmdb, key 3: "));
  EXPECT_THAT(error, EndsWith("; run `millrace verify` on the dataset"));
}

TEST_F(LoaderStagesTest, PictureThatDoesNotDecodeNamesSampleShardAndKey) {
  const std::uint64_t first = storage::ReadManifest(dataset_).splits.at("train").shards[0].records;
  auto jpeg = test::MakeJpeg({.width = 40, .height = 30});
  jpeg.resize(jpeg.size() / 2);
  test::RewriteShard(dataset_, "train", 1, [&](std::uint64_t key, storage::RecordView* record) {
    if (key != 5) return;
    record->payload = jpeg;
    record->width = 40;
    record->height = 30;
  });
  // The whole picture, so that no crop can miss the damage.
  LoaderStages loaders(LoadRecipe({"data.train.ops=[{ op='resize', width=20, height=20 }]"}),
                       dataset_);
  RecordingLane lane;
  const std::string error = ErrorOf([&] { Run(loaders, lane, 2); });
  EXPECT_THAT(error, StartsWith("sample " + std::to_string(first + 5) +
                                " (train-00001-of-00002.lmdb, key 5): "));
  EXPECT_THAT(error, HasSubstr("Premature end of JPEG file"));
  EXPECT_THAT(error, EndsWith("; run `millrace verify` on the dataset"));
}

TEST_F(LoaderStagesTest, PictureThatAnOperationCannotTakeNamesTheOperation) {
  LoaderStages loaders(LoadRecipe({"data.train.ops=[{ op='center_crop', size=60 }]"}), dataset_);
  RecordingLane lane;
  EXPECT_THAT(ErrorOf([&] {
                BatchPlan plan({.train_samples = 24, .per_device = 1, .epochs = 1});
                Stop stop;
                StageStats stats;
                RunGraph(
                    {.workers = 2, .max_batch = 1, .max_image_bytes = 3 * 60 * 60},
                    [&plan] { return plan.Next(); }, loaders, {&lane}, stop, stats);
              }),
              AllOf(StartsWith("sample "), HasSubstr("center_crop takes 60x60 pixels, but only"),
                    HasSubstr(".lmdb, key ")));
}

TEST_F(LoaderStagesTest, SplitThatTheDatasetLacksIsAnError) {
  EXPECT_THAT(ErrorOf([&] { LoaderStages loaders(LoadRecipe({"data.val.split=test"}), dataset_); }),
              AllOf(HasSubstr("data.val.split: is \"test\", which"),
                    HasSubstr("does not have (it has: train, val)")));
}

TEST_F(LoaderStagesTest, RecipeWithoutValidationHasNone) {
  test::WriteText(folder_ / "short.toml",
                  "[data.train]\nops = [{ op = 'resize', width = 4, height = 4 }]\n"
                  "[batch]\nper_device = 4\n[train]\nepochs = 1\n");
  LoaderStages loaders(Recipe::Load(folder_ / "short.toml", {}), dataset_);
  EXPECT_EQ(loaders.val(), nullptr);
  RecordingLane lane;
  Run(loaders, lane, 1);
  EXPECT_EQ(lane.digests.size(), 12u);
}

}  // namespace
}  // namespace millrace::pipeline
