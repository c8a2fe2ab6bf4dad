// Packing JPEGs anew, beside the least that libjpeg-turbo's own functions need for a transcoder:
// jpeg_read_coefficients and jpeg_write_coefficients with standard tables (bare) or with tables
// made for the picture (optimized), without index and checks.
//
//   MILLRACE_TEST_DATA=../shared/data build/release/tests/bench/repack_bench
//       --benchmark_repetitions=15
//
// The three take turns picture by picture, so that whatever else the machine does meets all of
// them. Counters: pictures per second of processor time on one core, and packed over the other two;
// the size of payload and index over that of the files, and what markers and index add to optimized
// tables alone. The time is that of packing all pictures once.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <span>
#include <string>
#include <vector>

// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>

#include "storage/jpeg_repack.h"
#include "tests/support/tar_reader.h"

namespace millrace::storage {
namespace {

using testing::TarMember;

// `most` of an archive, evenly spread; none when it is not there.
std::vector<TarMember> Pictures(const std::string& archive, std::size_t most) {
  const auto path = testing::TestData(archive);
  if (path.empty()) return {};
  auto files = testing::ReadTar(path, ".JPEG");
  const std::size_t stride = std::max<std::size_t>(1, files.size() / most);
  std::vector<TarMember> pictures;
  for (std::size_t i = 0; i < files.size() && pictures.size() < most; i += stride) {
    pictures.push_back(std::move(files[i]));
  }
  return pictures;
}

// The size of the picture written again. Errors end the program: the files are sound.
std::size_t Transcode(std::span<const std::byte> jpeg, bool optimize) {
  jpeg_decompress_struct from{};
  jpeg_compress_struct to{};
  jpeg_error_mgr errors{};
  from.err = to.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&from);
  jpeg_create_compress(&to);
  jpeg_mem_src(&from, reinterpret_cast<const unsigned char*>(jpeg.data()), jpeg.size());
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&to, &buffer, &size);
  jpeg_read_header(&from, TRUE);
  jvirt_barray_ptr* coefficients = jpeg_read_coefficients(&from);
  jpeg_copy_critical_parameters(&from, &to);
  to.optimize_coding = optimize ? TRUE : FALSE;
  jpeg_write_coefficients(&to, coefficients);
  jpeg_finish_compress(&to);
  jpeg_finish_decompress(&from);
  jpeg_destroy_compress(&to);
  jpeg_destroy_decompress(&from);
  std::free(buffer);
  return size;
}

// The size of payload and index.
std::size_t Pack(JpegRepacker& repacker, std::span<const std::byte> jpeg) {
  const auto result = repacker.Repack(jpeg, OnDamage::kFault);
  return result.value().payload.size() + result.value().region_index.segment_bytes.size_bytes();
}

// [seconds] that this thread has computed.
double ProcessorSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Repack(benchmark::State& state, const std::string& archive, std::size_t most) {
  const auto pictures = Pictures(archive, most);
  if (pictures.empty()) {
    state.SkipWithError("set MILLRACE_TEST_DATA to the folder with the archives of real pictures");
    return;
  }
  enum Way : std::size_t { kBare, kOptimized, kPacked, kWays };
  struct Sum {
    double seconds = 0;
    std::size_t bytes = 0;
  };
  std::array<Sum, kWays> sums;
  JpegRepacker repacker;
  std::size_t turn = 0;
  for (auto _ : state) {
    const double packed_before = sums[kPacked].seconds;
    for (const auto& picture : pictures) {
      // Whoever is first brings the file into the cache.
      ++turn;
      for (std::size_t i = 0; i < kWays; ++i) {
        const auto way = static_cast<Way>((turn + i) % kWays);
        const double begin = ProcessorSeconds();
        sums[way].bytes += way == kPacked ? Pack(repacker, picture.bytes)
                                          : Transcode(picture.bytes, way == kOptimized);
        sums[way].seconds += ProcessorSeconds() - begin;
      }
    }
    state.SetIterationTime(sums[kPacked].seconds - packed_before);
  }
  std::size_t original = 0;
  for (const auto& picture : pictures) original += picture.bytes.size();
  const auto passes = static_cast<double>(state.iterations());
  const auto per_second = [&](Way way) {
    return passes * static_cast<double>(pictures.size()) / sums[way].seconds;
  };
  const auto bytes = [&](Way way) { return static_cast<double>(sums[way].bytes) / passes; };
  state.counters["pictures"] = static_cast<double>(pictures.size());
  state.counters["bare_per_s"] = per_second(kBare);
  state.counters["optimized_per_s"] = per_second(kOptimized);
  state.counters["packed_per_s"] = per_second(kPacked);
  state.counters["over_bare"] = per_second(kPacked) / per_second(kBare);
  state.counters["over_optimized"] = per_second(kPacked) / per_second(kOptimized);
  state.counters["bytes_of_original"] = bytes(kPacked) / static_cast<double>(original);
  state.counters["index_cost"] = bytes(kPacked) / bytes(kOptimized) - 1;
}
BENCHMARK_CAPTURE(Repack, originals, "imagenet-originals-200.tar", 200)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Repack, imagenette, "imagenette-224.tar", 500)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace::storage

BENCHMARK_MAIN();
