#include "pipeline/report/sample_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "pipeline/html.h"
#include "pipeline/loader_stages.h"
#include "pipeline/recipe.h"
#include "pipeline/run_folder.h"
#include "storage/jpeg_encode.h"
#include "storage/manifest.h"
#include "tracking/png.h"

namespace millrace::pipeline {
namespace {

// Smaller pictures are shown pixel by pixel, where a JPEG's blocks would be seen.
constexpr int kLeastJpegSide = 128;  // [pixels]
constexpr int kQuality = 85;

SamplePicture MakePicture(LoaderStages& loaders, std::uint64_t sample) {
  constexpr stages::Batch kEvaluation{.phase = stages::Phase::kEvaluate};
  const stages::Size size = loaders.PictureSizeOf(kEvaluation);
  SamplePicture picture{.uri = {},
                        .fault = {},
                        .width = static_cast<std::uint32_t>(size.width),
                        .height = static_cast<std::uint32_t>(size.height)};
  try {
    const std::vector<std::uint8_t> pixels = loaders.MakePicture(kEvaluation, sample);
    if (std::max(size.width, size.height) < kLeastJpegSide) {
      const std::string png = tracking::EncodePng(picture.width, picture.height, pixels);
      picture.uri = DataUri("image/png", std::as_bytes(std::span(png)));
    } else {
      picture.uri = DataUri("image/jpeg", storage::EncodeJpeg(pixels, picture.width, picture.height,
                                                              {.quality = kQuality}));
    }
  } catch (const std::exception& error) {
    picture.fault = error.what();
  }
  return picture;
}

}  // namespace

SamplePictures MakeSamplePictures(const RunRecord& run, const EvaluationRecord& evaluation) {
  SamplePictures pictures;
  try {
    const std::filesystem::path dataset = run.Environment("dataset");
    const storage::Manifest manifest = storage::ReadManifest(dataset);
    const std::string fingerprint = HashToHex(manifest.fingerprint);
    if (fingerprint != run.Environment("dataset_fingerprint")) {
      Fail("{} holds another dataset now, with the fingerprint {}", dataset.string(), fingerprint);
    }
    const Recipe recipe = Recipe::Load(RunFolder{run.root}.config(), {});
    LoaderStages loaders(recipe, dataset, {stages::Phase::kEvaluate});
    for (const auto* answers : {&evaluation.hardest, &evaluation.most_confused}) {
      for (const EvaluationRecord::Answer& answer : *answers) {
        if (pictures.of_sample.contains(answer.sample)) continue;
        pictures.of_sample.emplace(answer.sample, MakePicture(loaders, answer.sample));
      }
    }
  } catch (const std::exception& error) {
    pictures.fault = error.what();
  }
  return pictures;
}

}  // namespace millrace::pipeline
