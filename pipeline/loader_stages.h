// The sample stages of real runs: records from a dataset, decoded and transformed as the recipe's
// loaders say.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/graph.h"
#include "pipeline/read_ahead.h"
#include "pipeline/recipe.h"
#include "storage/split_reader.h"

namespace millrace::pipeline {

// Checks the operations of all loaders, and that the recipe's decode mode can have an effect on
// one of them, without a dataset. Throws Error (exit code 2).
void CheckLoaders(const Recipe& recipe);

// A split that loaders read.
struct OpenSplit {
  std::string name;
  storage::SplitReader reader;
};

class LoaderStages final : public SampleWork {
 public:
  // Opens the splits that the recipe's loaders of these phases name and checks all their shards.
  // Of a phase that is not among them, or for which the recipe has no loader, there is no sample.
  // Throws Error naming file or key.
  LoaderStages(const Recipe& recipe, const std::filesystem::path& dataset,
               std::initializer_list<stages::Phase> phases = {
                   stages::Phase::kTrain, stages::Phase::kTrainEval, stages::Phase::kEvaluate});
  ~LoaderStages() override;

  // REQUIRES: opened for Phase::kTrain
  const storage::SplitReader& train() const;
  // nullptr where there is no sample of Phase::kEvaluate
  const storage::SplitReader* val() const;

  // What loaders read: each split once, however many of them name it.
  const std::deque<OpenSplit>& splits() const;

  // From now on training samples come from the disk past the page cache, window by window of
  // Shuffle::kBlocks (runs_ahead.h), and Prefetch() has nothing to do for them. Not while the graph
  // runs. REQUIRES: opened for Phase::kTrain, whose loader shuffles blocks
  void BypassPageCache();
  bool bypasses_page_cache() const;
  // How many samples the loader of this phase has: its split's, or `limit`.
  std::uint64_t num_samples(stages::Phase phase) const;
  // The id of the sample that stands at `position` of an evaluation. REQUIRES: there are samples
  std::uint64_t EvaluatedSample(stages::Phase phase, std::uint64_t position) const;

  // Asks the disk for the records of a batch that is not planned yet. Called by one thread at a
  // time, which may be another one than KeyAt's.
  void Prefetch(const stages::Batch& batch);
  // Of those through the page cache. Any thread.
  ReadCounts reads() const;
  // Who decoded so far. Not while the graph runs.
  stages::DecodeCounts decoded() const;

  stages::Size PictureSize(stages::Phase phase) const override;  // 0 x 0: there is no sample
  stages::Size PictureSizeOf(const stages::Batch& batch) const override;
  // REQUIRES: a training batch says its global_batch, where the recipe repeats samples
  RandomKey KeyAt(const stages::Batch& batch, std::uint64_t position) override;
  void Plan(const stages::Sample& sample) override;
  void Read(const stages::Sample& sample) override;
  void Decode(const stages::Sample& sample) override;
  void Augment(const stages::Sample& sample) override;

  // Makes the pixels of a sample whose cargo the device could not decode, on the CPU. Any thread.
  void DecodeOnHost(const stages::Slot& slot, std::uint32_t index, std::uint8_t* pixels);

  // The pixels of a sample as a batch like this one has it (its phase, epoch and step count), uint8
  // [height, width, 3] of PictureSizeOf(batch), made anew, on the CPU. Any thread. Throws Error
  // naming the sample where its record is damaged. REQUIRES: it is of an evaluation, whose samples
  // have no copies, and there are samples of its phase
  std::vector<std::uint8_t> MakePicture(const stages::Batch& batch, std::uint64_t sample_id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::pipeline
