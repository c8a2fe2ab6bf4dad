// Any bytes as a record: a fault, or views that lie within them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "storage/record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Of their own, so that a step outside is seen, and at an address that is even and not more.
  std::vector<std::uint16_t> memory(1 + (size + 1) / 2);
  auto* bytes = reinterpret_cast<std::byte*>(memory.data() + 1);
  if (size > 0) std::memcpy(bytes, data, size);
  const auto record = millrace::storage::ParseRecord({bytes, size});
  if (!record.ok()) return 0;
  (void)millrace::storage::CheckPayload(*record).ok();
  // Every byte of the views is read; no sum of them is so large.
  std::uint64_t sum = 0;
  for (const char c : record->path) sum += static_cast<unsigned char>(c);
  for (const std::uint16_t length : record->region_index.segment_bytes) sum += length;
  if (sum == ~std::uint64_t{0}) std::abort();
  return 0;
}
