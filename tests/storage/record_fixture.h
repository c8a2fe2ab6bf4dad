// Records and shards for the storage tests, made from a number.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "storage/manifest.h"
#include "storage/record.h"
#include "storage/shard_writer.h"
#include "tests/support/error_text.h"

namespace millrace::test {

// A record that owns what its view shows.
struct OwnedRecord {
  std::string path;
  std::vector<std::byte> payload;
  std::vector<std::uint16_t> segments;
  storage::RecordView view;

  explicit OwnedRecord(std::uint64_t number, std::size_t payload_bytes = 300,
                       std::uint32_t num_classes = 3)
      : path(fmt::format("n{:03}/{}.JPEG", number % num_classes, number)), payload(payload_bytes) {
    RandomStream random({.seed = number}, 0);
    for (auto& byte : payload) byte = static_cast<std::byte>(random.Next());
    if (number % 2 == 1) segments = {7, 65535, static_cast<std::uint16_t>(number)};
    view = {
        .label = static_cast<std::uint32_t>(number % num_classes),
        .width = 100 + static_cast<std::uint32_t>(number),
        .height = 50,
        .subsampling = number % 3 == 0 ? storage::Subsampling::k444 : storage::Subsampling::k420,
        .repairs = number % 5 == 0 ? 1u : 0u,
        .payload_hash = Hash64(payload),
        .path = path,
        .payload = payload,
        .region_index = {.segment_mcus = segments.empty() ? 0u : 4u, .segment_bytes = segments}};
  }
  OwnedRecord(const OwnedRecord&) = delete;  // the view points into this object
  OwnedRecord& operator=(const OwnedRecord&) = delete;
};

inline bool SameRecord(const storage::RecordView& a, const storage::RecordView& b) {
  const auto same = [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end());
  };
  return a.label == b.label && a.width == b.width && a.height == b.height &&
         a.subsampling == b.subsampling && a.repairs == b.repairs &&
         a.payload_hash == b.payload_hash && a.path == b.path && same(a.payload, b.payload) &&
         a.region_index.segment_mcus == b.region_index.segment_mcus &&
         same(a.region_index.segment_bytes, b.region_index.segment_bytes);
}

// Writes a shard of the records `first` .. `first + count - 1`.
inline storage::ShardFacts WriteShard(const std::filesystem::path& path, std::uint64_t first,
                                      std::uint64_t count, std::size_t payload_bytes = 300) {
  storage::ShardWriter writer(path);
  for (std::uint64_t i = first; i < first + count; ++i) {
    writer.Append(storage::SerializeRecord(OwnedRecord(i, payload_bytes).view));
  }
  return writer.Finish();
}

// Writes a dataset of three classes with one split of `shards` shards that holds the records
// 0 .. records - 1.
inline storage::Manifest WriteDataset(const std::filesystem::path& folder, std::uint64_t records,
                                      std::uint64_t shards, const std::string& split = "train") {
  CreateFolders(folder);
  storage::Manifest manifest{.tool_version = "test",
                             .fingerprint = 0,
                             .classes = {{"n000", "n000"}, {"n001", "n001"}, {"n002", "n002"}},
                             .splits = {}};
  storage::SplitInfo info{
      .records = records, .fingerprint = 0, .shards = {}, .conversion = {.on_bad = "fail"}};
  for (std::uint64_t s = 0; s < shards; ++s) {
    const std::uint64_t first = s * records / shards;
    const std::uint64_t count = (s + 1) * records / shards - first;
    const std::string file = storage::ShardFileName(split, s, shards);
    const auto facts = WriteShard(folder / file, first, count);
    info.shards.push_back(
        {.file = file, .records = facts.records, .bytes = facts.bytes, .hash = facts.hash});
  }
  storage::SplitFingerprint fingerprint(manifest.classes);
  for (std::uint64_t i = 0; i < records; ++i) {
    const OwnedRecord record(i);
    fingerprint.Add(record.view.label, record.view.payload_hash);
  }
  info.fingerprint = fingerprint.Digest();
  manifest.splits[split] = info;
  manifest.fingerprint = storage::DatasetFingerprint(manifest);
  WriteFileAtomically(storage::ManifestPath(folder), storage::ManifestText(manifest));
  return manifest;
}

}  // namespace millrace::test
