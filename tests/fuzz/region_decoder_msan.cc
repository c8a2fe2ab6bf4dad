// The region decoder under MemorySanitizer, which other sanitizers exclude: every input of a folder
// that region_decoder_fuzz would read, with each set of instructions and with the twin.
//
//   region_decoder_msan tests/fuzz/corpus/region_decoder_fuzz
//
// All that is in the program must be instrumented, or there are false alarms. So nothing judges the
// pixels here, and what the C++ library holds ready-made (strings, streams) is not used. Vectors
// begin with zeros: what is left to be found is on the stack, in the bytes behind a payload, and in
// pixels that nobody wrote.
#include <dirent.h>
#include <sanitizer/msan_interface.h>

#include <cstdio>
#include <memory>
#include <span>

#include <hwy/highway.h>

#include "stages/region/region_decoder.h"
#include "tests/fuzz/region_input.h"

namespace millrace::stages {
namespace {

struct Bytes {
  std::unique_ptr<std::byte[]> data;  // no longer than they are
  std::size_t size = 0;
};

Bytes ReadBytes(const char* folder, const char* name) {
  char path[4096];
  std::snprintf(path, sizeof path, "%s/%s", folder, name);
  std::FILE* const file = std::fopen(path, "rb");
  if (file == nullptr) return {};
  std::fseek(file, 0, SEEK_END);
  const long size = std::ftell(file);
  std::rewind(file);
  Bytes bytes;
  if (size > 0 && size < 1L << 30) {
    bytes.data = std::make_unique<std::byte[]>(static_cast<std::size_t>(size));
    bytes.size = std::fread(bytes.data.get(), 1, static_cast<std::size_t>(size), file);
  }
  std::fclose(file);
  return bytes;
}

// Whether the pixels are known. Those that are must all have been written.
bool Decodes(region::RegionDecoder& decoder, const RegionInput& input) {
  Image image;
  image.Resize(input.box.width, input.box.height);
  const std::size_t bytes = image.row_bytes() * static_cast<std::size_t>(image.height());
  __msan_poison(image.row(0), bytes);
  if (!decoder.Decode(input.record, input.box, &image)) return false;
  __msan_check_mem_is_initialized(image.row(0), bytes);
  return true;
}

// Returns how many regions were decoded.
int Replay(const char* folder, Kernels kernels, const char* name) {
  DIR* const all = opendir(folder);
  if (all == nullptr) return 0;
  region::RegionDecoder decoder(kernels);
  int inputs = 0;
  int decoded = 0;
  while (const dirent* const entry = readdir(all)) {
    const Bytes bytes = ReadBytes(folder, entry->d_name);
    const auto input = ReadRegionInput({bytes.data.get(), bytes.size});
    if (!input) continue;
    ++inputs;
    if (Decodes(decoder, *input)) ++decoded;
  }
  closedir(all);
  std::printf("%s: %d of %d regions are known\n", name, decoded, inputs);
  return decoded;
}

}  // namespace
}  // namespace millrace::stages

int main(int argc, char** argv) {
  using millrace::stages::Kernels;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  bool has_decoded = millrace::stages::Replay(argv[1], Kernels::kScalar, "twin") > 0;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::GetChosenTarget().Update(target);
    has_decoded &= millrace::stages::Replay(argv[1], Kernels::kSimd, hwy::TargetName(target)) > 0;
  }
  return has_decoded ? 0 : 1;
}
