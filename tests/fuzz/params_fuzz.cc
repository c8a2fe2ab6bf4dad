// Settings from any text: either an Error or values; reading every key by its own type leaves
// nothing unknown.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/params.h"

namespace {

void Read(const millrace::Params& params) {
  params.Flag("flag", false);
  params.Integer("integer", 0);
  params.NumberIn("number", -1.0, 1.0, 0.0);
  params.Choice("choice", {"one", "two"}, "one");
  params.Numbers("numbers", {{}});
  params.Texts("texts", {{}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto params = millrace::Params::FromJson(
        std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    Read(params);
    Read(params.Section("section"));
    for (const millrace::Params& op : params.Sections("ops")) Read(op);
    params.RefuseUnknown();
  } catch (const millrace::Error&) {
    return 0;
  }
  return 0;
}
