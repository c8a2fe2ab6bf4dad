// Mixes a batch for tests/reference/test_mixing.py, which sets it beside torchvision.
//
// mix_judge OPS SEED POSITION CLASSES IN OUT: `OPS` is the JSON of a section with a `mix` list,
// `IN` and `OUT` are safetensors with images and labels; prints share, box and share of the label.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/safetensors.h"
#include "stages/mix.h"

namespace millrace {
namespace {

void Run(char** args) {
  const stages::Mixing mixing(Params::FromJson(args[1], "test").Sections("mix"),
                              std::stoull(args[2]));
  stages::DeviceBatch batch;
  for (const model::NamedTensor& entry : model::ReadSafetensors(args[5]).tensors) {
    (entry.name == "images" ? batch.images : batch.labels) = entry.tensor;
  }
  const stages::Size picture{static_cast<int>(batch.images.size(3)),
                             static_cast<int>(batch.images.size(2))};
  const stages::Mix mix = mixing.Plan({.first_position = std::stoull(args[3])}, picture);
  batch.mix = stages::MixTensor(mix);
  const std::vector<model::NamedTensor> mixed = {
      {"images", stages::MixedImages(batch).contiguous()},
      {"targets", stages::MixedTargets(batch, std::stoll(args[4]))}};
  model::WriteSafetensors(args[6], mixed, {});
  fmt::print("[{}, {}, {}, {}, {}, {}]\n", mix.own, mix.box.x, mix.box.y, mix.box.x + mix.box.width,
             mix.box.y + mix.box.height, mix.own_label);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  try {
    if (argc != 7) millrace::Fail("six arguments are wanted");
    millrace::Run(argv);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
