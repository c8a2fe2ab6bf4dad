// Pictures as people have them into sharded records: the `convert` verb.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/convert_picture.h"
#include "storage/conversion/report.h"
#include "storage/sources/sample_source.h"

namespace millrace::pipeline {

// What becomes of files that are not sound pictures.
enum class OnBad : std::uint8_t {
  kRepair,  // what can be repaired is, the rest is left out; all are listed in the report
  kSkip,    // they are left out and listed
  kFail,    // all files are checked, then the conversion fails and lists them
};

struct ConvertOptions {
  // Image folders, ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, WebDataset tars
  // (storage/sources/open_source.h); several are mixed.
  std::vector<std::string> sources = {};
  std::filesystem::path devkit = {};   // labels of the validation tar, readable names; empty: none
  std::filesystem::path classes = {};  // what class numbers mean, readable names; empty: none
  std::filesystem::path to = {};       // the dataset folder; created when missing
  std::string split = "train";         // letters, digits and "_"

  // These decide the output's bytes.
  std::uint32_t shards = 0;  // 0: one per 256 MiB of stored pictures; at most 4096
  std::uint64_t seed = 0;    // of the order in which samples are dealt to shards
  OnBad on_bad = OnBad::kRepair;
  PictureOptions picture = {};  // `repair` follows on_bad, whatever it says

  // Set: converts this part of the sources only and leaves the shards to MergeParts().
  std::optional<storage::SourcePart> worker = {};

  // These do not.
  int jobs = 0;                             // threads; 0: one per core
  const std::atomic<bool>* stop = nullptr;  // set to end early; what is done is kept
};

struct MergeOptions {
  std::filesystem::path to = {};
  std::string split = "train";
  std::uint32_t shards = 0;  // as above
  int jobs = 0;
  const std::atomic<bool>* stop = nullptr;
};

struct ConvertProgress {
  enum class Stage : std::uint8_t { kPictures, kShards };
  Stage stage = Stage::kPictures;
  std::uint64_t pictures = 0;        // done in this stage, those of earlier runs included
  std::uint64_t total_pictures = 0;  // known in the second stage
  std::uint64_t bytes = 0;           // of the sources, behind us
  std::uint64_t total_bytes = 0;
};

struct ConvertReport {
  bool nothing_to_do = false;  // the split was complete and its sources unchanged
  bool stopped = false;        // ended early; the next run goes on
  bool is_part = false;        // a worker's part is complete; there are no shards yet
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of the shards
  std::uint64_t shards = 0;
  std::uint64_t shards_kept = 0;    // finished by an earlier run
  std::uint64_t pictures_kept = 0;  // converted by an earlier run
  std::uint64_t classes = 0;
  std::uint64_t fingerprint = 0;          // of the split
  std::uint64_t left_out = 0;             // files; they are listed in report.json, as are
  std::uint64_t changed = 0;              // those that were not stored as they came
  std::vector<std::string> ignored = {};  // no pictures, by their names
};

using ConvertCallback = std::function<void(const ConvertProgress&)>;

// Converts `options.sources` into a split of the dataset `options.to`, or a worker's part of it.
//
// The sources are read in sequence, while pictures are converted in parallel and appended to spools
// in a working folder. Then shards are written, in parallel, in an order that depends on the seed
// and on class and content of each picture alone, and their labels given: shards with the same
// pictures are the same, whatever kind of source they came from, however many jobs and workers
// there were and however often they were interrupted. The fingerprint is a pure function of
// classes, contents and options; the bytes of shards hold the pictures' paths, too.
//
// After a kill, a stop, a full disk or a power cut the next run with the same sources and options
// goes on: pictures and shards that are complete stay; with others it starts over. The manifest
// comes last. A second split joins the first when its classes are among the manifest's.
//
// `progress` is called after each picture, from one thread at a time. Memory: below 1 GiB, whatever
// the sources hold, as long as there are no more than some 50 million pictures. Disk: spools go as
// the shards made from them are complete, so that both together need little more than either.
//
// Throws Error: sources that cannot be used, fewer than two classes, bad files (kFail; the first
// ten are named, all are in report.json), a split that is already there with other content, another
// conversion at work in the folder, a full disk. After an Error the manifest is as it was.
ConvertReport Convert(const ConvertOptions& options, const ConvertCallback& progress = {});

// Makes the shards of the parts that workers have converted. Throws Error: parts that are missing,
// under way or of other sources or options, and what Convert() throws.
ConvertReport MergeParts(const MergeOptions& options, const ConvertCallback& progress = {});

}  // namespace millrace::pipeline
