// Writes seeds for the fuzz targets whose inputs are made rather than found: JPEGs of all kinds, as
// they come and as they are stored, records, shards, a manifest.
//
// Argument: the folder of the corpora. The same files at each run.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/hash.h"
#include "storage/jpeg_repack.h"
#include "storage/manifest.h"
#include "storage/record.h"
#include "storage/shard_writer.h"
#include "tests/support/tiny_images.h"
#include "tests/support/torture_jpegs.h"

namespace {

namespace storage = millrace::storage;
namespace test = millrace::test;

void WriteJpegs(const std::filesystem::path& folder) {
  for (const auto& seed : test::MakeFuzzSeeds()) {
    std::string name = seed.name;
    for (char& c : name) {
      if (c == ' ' || c == ':') c = '-';
    }
    test::WriteBytes(folder / (name + ".jpg"), seed.bytes);
  }
}

void WriteRecords(const std::filesystem::path& folder) {
  const auto jpeg = test::MakeJpeg({.width = 9, .height = 9, .planes = test::Planes::kGray});
  const std::vector<std::uint16_t> segments = {300, 12, 65535};
  storage::RecordView record{.label = 7,
                             .width = 9,
                             .height = 9,
                             .subsampling = storage::Subsampling::kGray,
                             .repairs = storage::kTrailingBytes,
                             .payload_hash = 0,
                             .path = "n01440764/n01440764_10026.JPEG",
                             .payload = jpeg,
                             .region_index = {}};
  test::WriteBytes(folder / "plain", storage::SerializeRecord(record));
  record.region_index = {.segment_mcus = 8, .segment_bytes = segments};
  test::WriteBytes(folder / "indexed", storage::SerializeRecord(record));
  record.payload = {};
  record.path = "";
  test::WriteBytes(folder / "empty", storage::SerializeRecord(record));
}

// Stored JPEGs of every sampling that the region decoder knows, and a region of each in front.
void WriteRegions(const std::filesystem::path& folder) {
  storage::JpegRepacker repacker;
  for (const auto planes : {test::Planes::kGray, test::Planes::k444, test::Planes::k422,
                            test::Planes::k420, test::Planes::k440}) {
    for (const int side : {40, 150}) {
      const auto packed =
          repacker.Repack(test::MakeJpeg({.width = side + 3, .height = side, .planes = planes}),
                          storage::OnDamage::kFault);
      if (!packed) continue;
      // x, y, width and height, 16 bits each.
      const std::string region("\x09\0\x05\0\x1b\0\x11\0", 8);
      std::string bytes = region;
      bytes.append(reinterpret_cast<const char*>(packed->payload.data()), packed->payload.size());
      test::WriteText(folder / ("planes-" + std::to_string(static_cast<int>(planes)) + "-" +
                                std::to_string(side)),
                      bytes);
    }
  }
}

// One shard with a page of records, one with every kind of page: two levels, records inside pages
// and in runs of their own.
void WriteShards(const std::filesystem::path& folder) {
  const auto jpeg = test::MakeJpeg({.width = 9, .height = 9, .planes = test::Planes::kGray});
  const auto write = [&](const char* name, int records) {
    std::filesystem::create_directories(folder);
    storage::ShardWriter writer(folder / name);
    for (int i = 0; i < records; ++i) {
      std::vector<std::byte> payload = jpeg;
      payload.resize(i % 3 == 2 ? 2100 : 1400);
      writer.Append(storage::SerializeRecord({.label = static_cast<std::uint32_t>(i),
                                              .width = 9,
                                              .height = 9,
                                              .subsampling = storage::Subsampling::kGray,
                                              .repairs = 0,
                                              .payload_hash = 0,
                                              .path = "a",
                                              .payload = payload,
                                              .region_index = {}}));
    }
    writer.Finish();
  };
  write("one-page", 1);
  write("two-levels", 4);
}

void WriteManifests(const std::filesystem::path& folder) {
  storage::Manifest manifest;
  manifest.tool_version = "0.1.0";
  manifest.classes = {{"n01440764", "tench"}, {"n01443537", "goldfish"}};
  storage::SplitInfo split;
  split.records = 3;
  split.fingerprint = 0x0123456789abcdef;
  split.shards = {{"train-00000-of-00001.lmdb", 3, 8192, 42}};
  split.conversion.on_bad = "repair";
  manifest.splits = {{"train", split}};
  test::WriteText(folder / "one-split.json", storage::ManifestText(manifest));
  manifest.splits = {};
  test::WriteText(folder / "no-splits.json", storage::ManifestText(manifest));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_seeds CORPORA\n");
    return 2;
  }
  const std::filesystem::path corpora = argv[1];
  WriteJpegs(corpora / "jpeg_repack_fuzz");
  WriteRecords(corpora / "record_fuzz");
  WriteManifests(corpora / "manifest_fuzz");
  WriteShards(corpora / "shard_fuzz");
  WriteRegions(corpora / "region_decoder_fuzz");
  return 0;
}
