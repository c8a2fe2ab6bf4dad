// Makes the payload of pictures that need one of their own, for tests/reference/test_repair.py: per
// line of standard input "PATH OUT" the file's payload is written to OUT.payload and what the
// decoder makes of it, raw RGB, to OUT.rgb. Standard output gets a line for each: width, height,
// subsampling, repairs, or "fault: TEXT". `repair_judge make FOLDER` writes CMYK and YCCK JPEGs as
// libjpeg-turbo makes them.
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "stages/decode.h"
#include "storage/foreign_picture.h"
#include "storage/payload_check.h"
#include "storage/png_picture.h"
#include "tests/support/tiny_images.h"

namespace millrace {
namespace {

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Outcome Repair(const std::string& path, const std::string& out) {
  const MappedFile file(path);
  std::vector<std::byte> payload(file.bytes().begin(), file.bytes().end());
  std::uint32_t repairs = 0;
  if (storage::ForeignKindOf(payload) != storage::ForeignKind::kNone) {
    const auto foreign = storage::ReadForeignPicture(payload);
    if (!foreign) return foreign.fault();
    payload = storage::MakePngPayload(foreign->pixels);
    repairs = foreign->repairs;
  }
  const auto info = storage::CheckPayloadPicture(payload);
  if (!info) return info.fault();
  stages::Decoder decoder;
  stages::Image image;
  if (Outcome decoded = decoder.DecodeFull(payload, &image); !decoded) return decoded;
  WriteFileAtomically(out + ".payload", TextOf(payload));
  WriteFileAtomically(out + ".rgb", {reinterpret_cast<const char*>(image.row(0)),
                                     image.row_bytes() * static_cast<std::size_t>(image.height())});
  std::printf("%u %u %d %u\n", info->width, info->height, static_cast<int>(info->subsampling),
              repairs);
  return Ok();
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

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::string_view(argv[1]) == "make") {
      millrace::MakeCmyk(argv[2]);
      return 0;
    }
    std::string text;
    while (std::getline(std::cin, text)) {
      std::istringstream line(text);
      std::string path;
      std::string out;
      line >> path >> out;
      const millrace::Outcome outcome = millrace::Repair(path, out);
      if (!outcome) std::printf("fault: %s\n", outcome.fault().message.c_str());
    }
    return 0;
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
