// The working folder of a conversion, ".convert-<split>" in the dataset: one folder for each part
// of the sources, with the pictures that were converted and a summary of it when it is complete.
// FORMAT.md, "Conversion".
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/conversion/spool.h"
#include "storage/manifest.h"
#include "storage/sources/sample_source.h"

namespace millrace::storage {

// Deal keys fall into so many ranges of equal width, by their highest bits.
inline constexpr std::size_t kKeyRanges = 256;

// The range of a deal key.
inline std::size_t KeyRange(std::uint64_t deal_key) { return deal_key >> 56; }

// A part that is complete: what the making of shards needs to know before it reads a picture.
struct PartSummary {
  std::uint64_t plan = 0;          // hash of what decides the pictures: sources and options
  ConversionInfo settings;         // those that the manifest notes
  std::uint32_t spools = 1;        // files of pictures: a power of two
  std::uint64_t files = 0;         // pictures met
  std::uint64_t bytes_in = 0;      // of these
  std::uint64_t left_out = 0;      // among them
  std::uint64_t records = 0;       // the others
  std::uint64_t record_bytes = 0;  // payloads and indices of those
  std::array<std::uint64_t, kKeyRanges> in_range{};  // records by the range of their key
  std::vector<std::string> class_ids = {};           // met, sorted
  ClassNames class_names = {};                       // readable ones of these, as far as known
  std::vector<std::string> ignored = {};

  bool operator==(const PartSummary&) const = default;
};

// ".convert-<split>" in the dataset.
std::filesystem::path WorkFolder(const std::filesystem::path& dataset, const std::string& split);

// "part-00003-of-00016" in it.
std::filesystem::path PartFolder(const std::filesystem::path& work, SourcePart part);

// The parts that have a folder there: complete, under way or given up. Throws Error when folders of
// different numbers of parts are mixed.
std::vector<SourcePart> ListParts(const std::filesystem::path& work);

// "pictures-003-of-004.spool" in a part's folder: the records of an equal run of the key ranges.
std::filesystem::path SpoolPath(const std::filesystem::path& part_folder, std::uint32_t spool,
                                std::uint32_t spools);

// The spool that takes the records of a key range.
inline std::uint32_t SpoolOfRange(std::size_t range, std::uint32_t spools) {
  return static_cast<std::uint32_t>(range * spools / kKeyRanges);
}

// "left-out.spool" in a part's folder: the pictures that are in no shard, without payload.
std::filesystem::path LeftOutPath(const std::filesystem::path& part_folder);

// Which plan the part's spools belong to, written before the first of them. Throw Error naming the
// file; reading gives nothing when there is none that can be used.
void WritePartPlan(const std::filesystem::path& part_folder, std::uint64_t plan);
std::optional<std::uint64_t> ReadPartPlan(const std::filesystem::path& part_folder);

// The summary, written last and atomically. Throw Error naming the file; reading gives nothing when
// there is none that can be used.
void WritePartSummary(const std::filesystem::path& part_folder, const PartSummary& summary);
std::optional<PartSummary> ReadPartSummary(const std::filesystem::path& part_folder);

}  // namespace millrace::storage
