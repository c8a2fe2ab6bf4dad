// Sets of made-up pictures in the layouts in which ImageNet is distributed, so that storage and
// feed can be tried at its scale by people who do not have it: the `synth` verb.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>

namespace millrace::pipeline {

enum class SynthLayout : std::uint8_t {
  kFolder,      // n90000007/n90000007_12.JPEG
  kTrainTar,    // ILSVRC2012_img_train.tar, a tar of n90000007.tar
  kValTar,      // ILSVRC2012_img_val.tar and val_labels.txt, the class ids in its order
  kWebdataset,  // imagenet-train-000000.tar ...: .jpg, .cls and .json of each picture
};

enum class SynthSplit : std::uint8_t { kTrain, kVal };

struct SynthOptions {
  std::filesystem::path to;  // created; refused when there is something in it
  std::uint64_t images = 10'000;
  std::uint32_t classes = 100;  // dealt equally
  std::uint64_t seed = 0;
  SynthLayout layout = SynthLayout::kFolder;
  SynthSplit split = SynthSplit::kTrain;    // chooses other pictures of the same classes
  int jobs = 0;                             // threads; 0: one per core
  const std::atomic<bool>* stop = nullptr;  // set to end early
};

struct SynthProgress {
  std::uint64_t images = 0;  // written
  std::uint64_t total_images = 0;
  std::uint64_t bytes = 0;  // of their files
};

struct SynthReport {
  bool stopped = false;  // ended early: nothing is left
  std::uint64_t images = 0;
  std::uint64_t bytes = 0;  // of the pictures
};

// Makes the pictures and writes them. What is written is a pure function of images, classes, seed,
// layout and split; pictures with their classes are the same in every layout. Folders and the
// training tar are in the order of the classes, the validation tar and WebDataset tars are mixed.
//
// Files are written below "<to>.tmp", synced, and renamed to `to` when all are there; after an
// Error or a stop nothing is left, after a kill that folder. `progress` is called after each
// picture, from one thread at a time. Memory: a few hundred KB per thread.
//
// Throws Error: options without meaning, a folder that is not empty, a folder left by an earlier
// run, a full disk.
SynthReport Synth(const SynthOptions& options,
                  const std::function<void(const SynthProgress&)>& progress = {});

}  // namespace millrace::pipeline
