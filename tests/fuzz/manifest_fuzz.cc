// Any text as a manifest: an Error, or a manifest that is read again as it was written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "storage/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto manifest = millrace::storage::ParseManifest(text, "fuzz");
    const auto again =
        millrace::storage::ParseManifest(millrace::storage::ManifestText(manifest), "again");
    if (!(again == manifest)) std::abort();
  } catch (const millrace::Error&) {
    return 0;
  }
  return 0;
}
