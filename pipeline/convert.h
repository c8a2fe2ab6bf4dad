// Image folders into sharded records: the `convert` verb.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "storage/conversion_files.h"

namespace millrace::pipeline {

// What a file that cannot be used means.
enum class OnBad : std::uint8_t {
  kFail,  // all files are checked, then the conversion fails and lists them
  kSkip,  // they are left out and listed in the report
};

struct ConvertOptions {
  std::vector<std::filesystem::path> sources;  // image folders; several are mixed
  std::filesystem::path to;                    // the dataset folder; created when missing
  std::string split = "train";                 // letters, digits and "_"

  // These decide the output's bytes.
  std::uint32_t shards = 0;  // 0: one per 256 MiB of source files; at most 4096
  std::uint64_t seed = 0;    // of the order in which samples are dealt to shards
  OnBad on_bad = OnBad::kFail;

  // These do not.
  int jobs = 0;                             // threads; 0: one per core
  const std::atomic<bool>* stop = nullptr;  // set to end early; finished shards stay
};

struct ConvertProgress {
  std::uint64_t files = 0;  // read so far, those of shards kept from an earlier run included
  std::uint64_t total_files = 0;
  std::uint64_t bytes = 0;  // of those files
  std::uint64_t total_bytes = 0;
};

struct ConvertReport {
  bool nothing_to_do = false;  // the split was complete and its sources unchanged
  bool stopped = false;        // ended early; the next run goes on
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of the shards
  std::uint64_t shards = 0;
  std::uint64_t shards_kept = 0;  // finished by an earlier run
  std::uint64_t classes = 0;
  std::uint64_t fingerprint = 0;           // of the split
  std::vector<storage::BadFile> left_out;  // sorted by file
  std::vector<std::string> ignored;        // not pictures, passed over
};

// Converts `options.sources` into a split of the dataset `options.to`.
//
// Output bytes are a pure function of the sources' content and the options marked so: jobs,
// interruptions and time do not enter. Shards appear when complete, the manifest last; after a kill
// or a stop the next run with the same sources and options goes on and keeps finished shards, while
// one with others starts over. A second split joins the first when its classes are among the
// manifest's.
//
// `progress` is called after each file, from one thread at a time. Memory: about 200 bytes per
// source file, and per thread 16 MiB or a few of the largest pictures.
//
// Throws Error: sources that cannot be used, fewer than two classes, bad files (kFail; the first
// ten are named, all are in report.json), a split that is already there with other content, another
// conversion at work in the folder, a full disk. After an Error the manifest is as it was.
ConvertReport Convert(const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& progress = {});

}  // namespace millrace::pipeline
