#include "pipeline/batch_comparison.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <charconv>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "pipeline/loader_stages.h"
#include "pipeline/progress_state.h"
#include "pipeline/recipe.h"
#include "pipeline/run_folder.h"
#include "stages/slot.h"

namespace millrace::pipeline {
namespace {

using stages::Phase;

std::string BoxText(const stages::Box& box) {
  return fmt::format("{} x {} pixels at ({}, {})", box.width, box.height, box.x, box.y);
}

// One sample on its way through the stages.
struct MadeSample {
  RandomKey key;
  std::uint64_t record = 0;  // hash of the stored picture
  std::int64_t label = 0;
  stages::Geometry geometry;
  std::uint64_t pixels = 0;
};

stages::Size SizeOf(const MadeSample& sample) {
  return {sample.geometry.window.width, sample.geometry.window.height};
}

// The feed of a run, opened again.
class RunFeed {
 public:
  explicit RunFeed(const RunRecord& run) : root_(run.root), recipe_(RecipeOf(run)) {
    const std::string batch = run.Environment("global_batch");
    const auto [end, code] =
        std::from_chars(batch.data(), batch.data() + batch.size(), global_batch_);
    if (code != std::errc{} || end != batch.data() + batch.size() || global_batch_ == 0) {
      Fail("{} does not say its global batch", RunFolder{root_}.environment().string());
    }
    const std::string dataset = run.Environment("dataset");
    try {
      loaders_ = std::make_unique<LoaderStages>(recipe_, dataset,
                                                std::initializer_list<Phase>{Phase::kTrain});
    } catch (const Error& error) {
      throw error.Within(root_.string());
    }
    const std::string fingerprint = HashToHex(loaders_->train().manifest().fingerprint);
    if (fingerprint != run.Environment("dataset_fingerprint")) {
      Fail("{}: the dataset {} has the fingerprint {} now; the run was trained on {}",
           root_.string(), dataset, fingerprint, run.Environment("dataset_fingerprint"));
    }
    if (loaders_->num_samples(Phase::kTrain) < global_batch_) {
      Fail("{} has fewer samples than a global batch of {}", dataset, global_batch_);
    }
  }

  std::uint64_t global_batch() const { return global_batch_; }
  std::string Where(std::uint64_t sample) const { return loaders_->train().Where(sample); }

  // The position in its epoch at which the batch of a step (counted from 0) begins.
  std::uint64_t FirstPosition(std::uint64_t step) const {
    return step % StepsPerEpoch() * global_batch_;
  }

  // The samples of a step, in order.
  std::vector<MadeSample> Make(std::uint64_t step) {
    const stages::Batch batch{.phase = Phase::kTrain,
                              .epoch = static_cast<std::uint32_t>(step / StepsPerEpoch()),
                              .step = step,
                              .size = 1,
                              .global_batch = global_batch_};
    std::vector<MadeSample> samples(global_batch_);
    const std::uint64_t first = FirstPosition(step);
    for (std::uint64_t i = 0; i < global_batch_; ++i) {
      samples[i].key = loaders_->KeyAt(batch, first + i);
    }
    const stages::Size size = loaders_->PictureSizeOf(batch);
    const auto bytes = static_cast<std::size_t>(size.width) *
                       static_cast<std::size_t>(size.height) * stages::kChannels;
    try {
      oneapi::tbb::parallel_for(std::size_t{0}, samples.size(), [&](std::size_t i) {
        stages::Slot slot(0, 1, bytes);
        slot.Begin(batch, size);
        Make(&slot, &samples[i]);
      });
    } catch (const Error& error) {
      throw error.Within(root_.string());
    }
    return samples;
  }

 private:
  static Recipe RecipeOf(const RunRecord& run) {
    Recipe recipe = Recipe::Load(RunFolder{run.root}.config(), {});
    recipe.decode_device = stages::DecodeDevice::kCpu;  // makes the same pixels
    return recipe;
  }

  std::uint64_t StepsPerEpoch() const {
    return loaders_->num_samples(Phase::kTrain) / global_batch_;
  }

  void Make(stages::Slot* slot, MadeSample* made) {
    const stages::Sample sample{.slot = slot, .index = 0, .key = made->key};
    loaders_->Read(sample);
    const stages::SampleState& state = slot->sample(0);
    made->record = state.record.payload_hash;
    made->label = slot->label(0);
    loaders_->Decode(sample);
    made->geometry = state.geometry;
    loaders_->Augment(sample);
    made->pixels = state.digest;
  }

  const std::filesystem::path root_;
  const Recipe recipe_;
  std::uint64_t global_batch_ = 0;
  std::unique_ptr<LoaderStages> loaders_;
};

// Fills in `found` what is different, if anything is.
bool Differ(const RunFeed& feed, const MadeSample& a, const MadeSample& b, DifferingSample* found) {
  found->sample_a = a.key.sample_id;
  found->sample_b = b.key.sample_id;
  const std::string name =
      fmt::format("sample {} ({})", a.key.sample_id, feed.Where(a.key.sample_id));
  if (a.key.sample_id != b.key.sample_id) {
    found->stage = Stage::kPlan;
    found->text =
        fmt::format("it is sample {} in A and sample {} in B", a.key.sample_id, b.key.sample_id);
  } else if (a.label != b.label) {
    found->stage = Stage::kRead;
    found->text =
        fmt::format("{} is of class {} in A and of class {} in B", name, a.label, b.label);
  } else if (a.record != b.record) {
    found->stage = Stage::kRead;
    found->text = fmt::format("{} is another picture in B", name);
  } else if (a.pixels == b.pixels) {
    return false;
  } else if (a.geometry.scale != b.geometry.scale) {
    found->stage = Stage::kDecode;
    found->text = fmt::format("{} is decoded at {}/8 of its size in A and at {}/8 in B", name,
                              a.geometry.scale, b.geometry.scale);
  } else if (SizeOf(a) != SizeOf(b)) {
    found->stage = Stage::kAugment;
    found->text = fmt::format("{} is made {} x {} pixels large in A and {} x {} in B", name,
                              SizeOf(a).width, SizeOf(a).height, SizeOf(b).width, SizeOf(b).height);
  } else if (a.geometry.crop != b.geometry.crop) {
    found->stage = Stage::kAugment;
    found->text = fmt::format("of {} A takes {} and B {}", name, BoxText(a.geometry.crop),
                              BoxText(b.geometry.crop));
  } else {
    found->stage = Stage::kAugment;
    found->text = fmt::format("{} has other pixels in B, from the same crop", name);
  }
  return true;
}

}  // namespace

BatchComparison CompareBatches(const RunRecord& a, const RunRecord& b, std::uint64_t after_step,
                               std::uint64_t step, std::uint64_t batches) {
  RunFeed feed_a(a);
  RunFeed feed_b(b);
  BatchComparison comparison;
  if (feed_a.global_batch() != feed_b.global_batch()) {
    Fail("a step of A has {} samples and one of B {}", feed_a.global_batch(),
         feed_b.global_batch());
  }
  for (std::uint64_t at = after_step; at < step; ++at) {
    const std::vector<MadeSample> from_a = feed_a.Make(at);
    const std::vector<MadeSample> from_b = feed_b.Make(at);
    std::uint64_t digest = 0;
    for (std::uint64_t i = 0; i < from_a.size(); ++i) {
      const std::uint64_t position = feed_a.FirstPosition(at) + i;
      DifferingSample found{.step = at + 1, .position = position, .text = {}};
      if (Differ(feed_a, from_a[i], from_b[i], &found)) {
        comparison.difference = std::move(found);
        return comparison;
      }
      digest += stages::SampleDigest(position, from_a[i].key.sample_id, from_a[i].label,
                                     from_a[i].pixels);
    }
    batches = RollBatches(batches, digest);
  }
  comparison.batches = batches;
  return comparison;
}

}  // namespace millrace::pipeline
