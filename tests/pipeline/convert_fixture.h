// Folders of small pictures and what a conversion makes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/file.h"
#include "storage/manifest.h"
#include "storage/record.h"
#include "storage/shard_writer.h"
#include "storage/split_reader.h"
#include "tests/support/error_text.h"

namespace millrace::test {

// The files of a folder (not of those below it), by name.
inline std::map<std::string, std::string> ContentsOf(const std::filesystem::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_directory()) continue;
    contents[entry.path().filename().string()] = ReadFile(entry.path());
  }
  return contents;
}

// Writes shard `index` of a split again with its records changed by `change(key, record)`, and what
// the manifest says about the file with it, so that only the records themselves are wrong.
template <typename Change>
void RewriteShard(const std::filesystem::path& dataset, const std::string& split_name,
                  std::size_t index, Change change) {
  auto manifest = storage::ReadManifest(dataset);
  auto& split = manifest.splits.at(split_name);
  auto& shard = split.shards.at(index);
  std::uint64_t first = 0;
  for (std::size_t i = 0; i < index; ++i) first += split.shards[i].records;
  const std::filesystem::path rewritten = dataset / "rewritten";
  storage::ShardFacts facts;
  {
    const storage::SplitReader reader(dataset, split_name);
    storage::ShardWriter writer(rewritten);
    for (std::uint64_t key = 0; key < shard.records; ++key) {
      auto record = *reader.Read(first + key);
      change(key, &record);
      writer.Append(storage::SerializeRecord(record));
    }
    facts = writer.Finish();
  }
  std::filesystem::rename(rewritten, dataset / shard.file);
  shard.bytes = facts.bytes;
  shard.hash = facts.hash;
  WriteFileAtomically(storage::ManifestPath(dataset), storage::ManifestText(manifest));
}

}  // namespace millrace::test
