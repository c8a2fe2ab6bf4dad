// Runs the preprocessing on requests from standard input, for
// tests/reference/test_preprocessing.py.
//
//   preprocess_judge pixels                 per line "RESIZE-MODE DECODE-MODE PICTURE-SIZE CROP
//                                           RESIZED-SIZE WINDOW FLIPS PATH": raw RGB
//   preprocess_judge transform OPS          per line "WIDTH HEIGHT SEED EPOCH SAMPLE PATH": raw RGB
//   preprocess_judge plan OPS               per line "WIDTH HEIGHT SEED EPOCH SAMPLE": the crop and
//                                           flips, as text
//   preprocess_judge augment OPS...         per line "LIST SEED EPOCH SAMPLE", followed by a
//   picture
//                                           of the size of list number LIST, raw RGB: what its
//                                           operations on pixels make of it, raw RGB
//   preprocess_judge normalize R G B R G B  raw RGB to raw float32, with mean and std
//
// OPS is a JSON object { "ops": [...], "mode": DECODE-MODE }, "exact" without. A fault ends the
// program with exit code 1 and its text.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/params.h"
#include "stages/decode.h"
#include "stages/decode_scale.h"
#include "stages/normalize.h"
#include "stages/ops/resize_mode.h"
#include "stages/transform.h"

namespace millrace::stages {
namespace {

void Write(const void* bytes, std::size_t count) {
  if (std::fwrite(bytes, 1, count, stdout) != count) Fail("standard output is closed");
}

std::string RestOfLine(std::istringstream& line) {
  std::string rest;
  std::getline(line >> std::ws, rest);
  return rest;
}

// Decodes what `geometry` needs of the file and writes the pixels to standard output.
void WritePixels(const std::string& path, Size picture, DecodeMode mode, Geometry geometry) {
  static Decoder decoder;
  static Resizer resizer;
  static Image source;
  static std::vector<std::uint8_t> out;
  const MappedFile file(path);
  const storage::RecordView record{.width = static_cast<std::uint32_t>(picture.width),
                                   .height = static_cast<std::uint32_t>(picture.height),
                                   .payload = file.bytes()};
  geometry.scale = ChooseScale(mode, record, geometry);
  const Outcome decoded = decoder.Decode(record, SourceOf(geometry), &source, geometry.scale);
  if (!decoded) Fail("{}: {}", path, decoded.fault().message);
  const std::size_t row_bytes = static_cast<std::size_t>(geometry.window.width) * kChannels;
  out.resize(row_bytes * static_cast<std::size_t>(geometry.window.height));
  resizer.Resize(geometry, source, out.data(), row_bytes);
  Write(out.data(), out.size());
}

void Pixels(std::istringstream line) {
  Size picture;
  Geometry g;
  std::string mode;
  std::string decode;
  line >> mode >> decode >> picture.width >> picture.height >> g.crop.x >> g.crop.y >>
      g.crop.width >> g.crop.height >> g.resized.width >> g.resized.height >> g.window.x >>
      g.window.y >> g.window.width >> g.window.height >> g.flip_horizontal >> g.flip_vertical;
  g.mode = ReadResizeMode(Params::FromJson("{\"resize\":\"" + mode + "\"}", "request"));
  const auto decode_mode =
      ReadDecodeMode(Params::FromJson("{\"mode\":\"" + decode + "\"}", "request"));
  WritePixels(RestOfLine(line), picture, decode_mode, g);
}

Geometry Planned(const Transform& transform, std::istringstream& line, Size* picture) {
  RandomKey key;
  line >> picture->width >> picture->height >> key.seed >> key.epoch >> key.sample_id;
  const Result<Geometry> geometry = transform.Plan(*picture, key);
  if (!geometry) Fail("{}", geometry.fault().message);
  return *geometry;
}

void NormalizeInput(char** numbers) {
  ChannelStatistics statistics;
  for (std::size_t i = 0; i < kChannels; ++i) {
    statistics.mean[i] = std::strtof(numbers[i], nullptr);
    statistics.std[i] = std::strtof(numbers[i + kChannels], nullptr);
  }
  const std::string in{std::istreambuf_iterator<char>(std::cin), {}};
  std::vector<float> out(in.size());
  Normalize(Kernels::kSimd, reinterpret_cast<const std::uint8_t*>(in.data()), in.size() / kChannels,
            statistics, Layout::kNhwc, out.data());
  Write(out.data(), out.size() * sizeof(float));
}

void Augment(const std::vector<Transform>& lists, std::istringstream line, PixelScratch* scratch) {
  std::size_t list = 0;
  RandomKey key;
  line >> list >> key.seed >> key.epoch >> key.sample_id;
  const Transform& transform = lists.at(list);
  const Size size = transform.output_size();
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size.width) *
                                   static_cast<std::size_t>(size.height) * kChannels);
  std::cin.read(reinterpret_cast<char*>(pixels.data()),
                static_cast<std::streamsize>(pixels.size()));
  if (!std::cin) Fail("standard input ends within a picture");
  transform.ApplyPixelOps(key, scratch, pixels.data());
  Write(pixels.data(), pixels.size());
}

int Main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "normalize" && argc == 2 + 2 * kChannels) {
    NormalizeInput(argv + 2);
    return 0;
  }
  std::string text;
  if (mode == "augment" && argc > 2) {
    std::vector<Transform> lists;
    for (int i = 2; i < argc; ++i) {
      lists.emplace_back(Params::FromJson(argv[i], "ops").Sections("ops"), BuiltInOperations());
    }
    PixelScratch scratch;
    while (std::getline(std::cin, text)) Augment(lists, std::istringstream(text), &scratch);
    return 0;
  }
  if (mode == "pixels" && argc == 2) {
    while (std::getline(std::cin, text)) Pixels(std::istringstream(text));
    return 0;
  }
  if ((mode == "transform" || mode == "plan") && argc == 3) {
    const Params params = Params::FromJson(argv[2], "ops");
    const Transform transform(params.Sections("ops"), stages::BuiltInOperations());
    const DecodeMode decode_mode = ReadDecodeMode(params);
    while (std::getline(std::cin, text)) {
      std::istringstream line(text);
      Size picture;
      const Geometry g = Planned(transform, line, &picture);
      if (mode == "transform") {
        WritePixels(RestOfLine(line), picture, decode_mode, g);
      } else {
        std::printf("%d %d %d %d %d %d\n", g.crop.x, g.crop.y, g.crop.width, g.crop.height,
                    g.flip_horizontal, g.flip_vertical);
      }
    }
    return 0;
  }
  FailUsage("see the first lines of tests/support/preprocess_main.cc");
}

}  // namespace
}  // namespace millrace::stages

int main(int argc, char** argv) {
  try {
    return millrace::stages::Main(argc, argv);
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
