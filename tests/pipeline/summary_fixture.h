// A dataset of known records with every kind of oddity, for the tests of what tells about it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "pipeline/dataset_summary.h"
#include "storage/manifest.h"
#include "tests/pipeline/convert_fixture.h"
#include "tests/storage/record_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace millrace::test {

class SummaryTest : public testing::Test {
 protected:
  // Split "train": 24 JPEGs of 300 x 200 pixels in 2 shards, sample `id` of the class id % 3 and
  // with the path "n00<class>/<id>.JPEG". The samples 0, 5, 10, 15, 20 are truncated, the odd ones
  // have a region index of 3 segments.
  void SetUp() override {
    WriteDataset(dataset_, 24, 2);
    Rewrite([&](std::uint64_t, storage::RecordView* record) {
      record->width = 300;
      record->height = 200;
      record->subsampling = storage::Subsampling::k420;
      record->payload = jpeg_;
    });
  }

  // Changes records by their sample ids.
  void Rewrite(const std::function<void(std::uint64_t id, storage::RecordView* record)>& change) {
    for (std::size_t shard = 0; shard < 2; ++shard) {
      RewriteShard(dataset_, "train", shard, [&](std::uint64_t key, storage::RecordView* record) {
        change(12 * shard + key, record);
      });
    }
  }

  // Gives the dataset these classes; labels stay.
  void Rename(const std::vector<storage::ClassInfo>& classes) {
    auto manifest = storage::ReadManifest(dataset_);
    manifest.classes = classes;
    WriteFileAtomically(storage::ManifestPath(dataset_), storage::ManifestText(manifest));
  }

  void WriteReport(std::string_view text) { WriteText(dataset_ / "report.json", text); }

  pipeline::DatasetSummary Summary() const { return pipeline::SummarizeDataset(dataset_); }

  const TemporaryFolder folder_;
  const std::filesystem::path dataset_ = folder_ / "data";
  const std::vector<std::byte> jpeg_ = MakeJpeg({.width = 300, .height = 200});
};

}  // namespace millrace::test
