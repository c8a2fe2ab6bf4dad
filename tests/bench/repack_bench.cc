// Packing JPEGs anew, beside the least that libjpeg-turbo's own functions need for a transcoder:
// jpeg_read_coefficients and jpeg_write_coefficients with standard tables, no index, no checks.
//
//   MILLRACE_TEST_DATA=../shared/data build/release/tests/bench/repack_bench
//       --benchmark_repetitions=15 --benchmark_enable_random_interleaving=true
//
// items_per_second are pictures. The counters of Packed are sizes of payload and index: over those
// of the original files, and what markers and index add to optimised tables alone.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

// jpeglib.h needs stdio.h before it.
#include <jpeglib.h>

#include "storage/jpeg_repack.h"
#include "tests/support/tar_reader.h"

namespace millrace::storage {
namespace {

const std::vector<testing::TarMember>& Originals() {
  static const auto originals = [] {
    const auto archive = testing::TestData("imagenet-originals-200.tar");
    return archive.empty() ? std::vector<testing::TarMember>() : testing::ReadTar(archive, ".JPEG");
  }();
  return originals;
}

bool HasOriginals(benchmark::State& state) {
  if (!Originals().empty()) return true;
  state.SkipWithError("set MILLRACE_TEST_DATA to the folder with imagenet-originals-200.tar");
  return false;
}

void CountPictures(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(Originals().size()));
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

void Bare(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  for (auto _ : state) {
    for (const auto& file : Originals()) benchmark::DoNotOptimize(Transcode(file.bytes, false));
  }
  CountPictures(state);
}
BENCHMARK(Bare)->Unit(benchmark::kMillisecond);

void Packed(benchmark::State& state) {
  if (!HasOriginals(state)) return;
  JpegRepacker repacker;
  std::size_t packed = 0;
  for (auto _ : state) {
    packed = 0;
    for (const auto& file : Originals()) {
      const auto result = repacker.Repack(file.bytes, OnDamage::kFault);
      const auto& index = result.value().region_index.segment_bytes;
      packed += result.value().payload.size() + index.size_bytes();
    }
  }
  CountPictures(state);
  std::size_t original = 0;
  std::size_t optimized = 0;
  for (const auto& file : Originals()) {
    original += file.bytes.size();
    optimized += Transcode(file.bytes, true);
  }
  state.counters["bytes_of_original"] = static_cast<double>(packed) / static_cast<double>(original);
  state.counters["index_cost"] = static_cast<double>(packed) / static_cast<double>(optimized) - 1;
}
BENCHMARK(Packed)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace::storage

BENCHMARK_MAIN();
