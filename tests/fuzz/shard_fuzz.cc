// Any bytes as a shard: an Error, or records of which each lies within the file and is read or
// refused.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "storage/shard_reader.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const millrace::fuzz::MemoryFile file;
  file.Fill({data, size});
  try {
    const millrace::storage::ShardReader shard(file.path());
    unsigned sum = 0;
    for (std::uint64_t key = 0; key < shard.size(); ++key) {
      // A page that the file does not have cannot be read.
      for (const std::byte byte : shard.Bytes(key)) sum += std::to_integer<unsigned>(byte);
      static_cast<void>(shard.Read(key).ok());
    }
    const volatile unsigned seen = sum;
    static_cast<void>(seen);
  } catch (const millrace::Error&) {
    return 0;
  }
  return 0;
}
