// Converts pictures, for tests/reference/test_repair.py.
//
//   picture_judge convert RESIZE_SHORT MAX_SIDE QUALITY   per line of standard input "PATH OUT" the
//       payload is written to OUT.payload and what the decoder makes of it, raw RGB, to OUT.rgb.
//       Standard output gets a line for each: width, height, subsampling and repairs, or
//       "fault: TEXT".
//   picture_judge make FOLDER   writes CMYK and YCCK JPEGs as libjpeg-turbo makes them
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/convert_picture.h"
#include "stages/decode.h"
#include "tests/support/tiny_images.h"

namespace millrace {
namespace {

Outcome Convert(pipeline::PictureConverter* converter, const std::string& path,
                const std::string& out) {
  const MappedFile file(path);
  const auto picture = converter->Convert(file.bytes(), path);
  if (!picture) return picture.fault();
  stages::Decoder decoder;
  stages::Image image;
  if (Outcome decoded = decoder.DecodeFull(picture->payload, &image); !decoded) return decoded;
  const auto write = [&](const char* extension, const void* bytes, std::size_t count) {
    WriteFileAtomically(out + extension, {static_cast<const char*>(bytes), count});
  };
  write(".payload", picture->payload.data(), picture->payload.size());
  write(".rgb", image.row(0), image.row_bytes() * static_cast<std::size_t>(image.height()));
  std::printf("%u %u %d %u\n", picture->width, picture->height,
              static_cast<int>(picture->subsampling), picture->repairs);
  return Ok();
}

void ConvertAll(const pipeline::PictureOptions& options) {
  pipeline::PictureConverter converter(options);
  std::string text;
  while (std::getline(std::cin, text)) {
    std::istringstream line(text);
    std::string path;
    std::string out;
    line >> path >> out;
    const Outcome outcome = Convert(&converter, path, out);
    if (!outcome) std::printf("fault: %s\n", outcome.fault().message.c_str());
  }
}

void MakeCmyk(const std::string& folder) {
  int number = 0;
  for (const auto planes : {test::Planes::kCmyk, test::Planes::kYcck}) {
    for (const bool progressive : {false, true}) {
      for (const unsigned restarts : {0u, 3u}) {
        const auto jpeg = test::MakeJpeg({.width = 50 + number,
                                          .planes = planes,
                                          .progressive = progressive,
                                          .separate_scans = !progressive && restarts == 0,
                                          .restart_interval = restarts});
        test::WriteBytes(fmt::format("{}/{}.jpg", folder, number++), jpeg);
      }
    }
  }
}

int Main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "make" && argc == 3) {
    MakeCmyk(argv[2]);
  } else if (mode == "convert" && argc == 5) {
    ConvertAll({.resize_short = static_cast<std::uint32_t>(std::atoi(argv[2])),
                .max_side = static_cast<std::uint32_t>(std::atoi(argv[3])),
                .quality = std::atoi(argv[4])});
  } else {
    FailUsage("see the first lines of tests/support/picture_main.cc");
  }
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  try {
    return millrace::Main(argc, argv);
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
