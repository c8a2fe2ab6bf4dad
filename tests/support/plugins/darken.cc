// A plugin with an operation, and with a trace in the environment of having been loaded.
#include <cstdlib>

#include "pipeline/plugin.h"

namespace millrace {
namespace {

class Darken final : public stages::PixelOp {
 public:
  explicit Darken(int by) : by_(by) {}

  void Apply(RandomStream, stages::PixelScratch*, stages::Pixels pixels) const override {
    for (std::size_t i = 0; i < pixels.bytes(); ++i) {
      pixels.data[i] = static_cast<std::uint8_t>(pixels.data[i] / by_);
    }
  }

 private:
  int by_;
};

std::unique_ptr<stages::PixelOp> MakeDarken(const Params& section, stages::Size) {
  return std::make_unique<Darken>(static_cast<int>(section.IntegerIn("by", 1, 255)));
}

[[maybe_unused]] const int kTrace = ::setenv("MILLRACE_TEST_PLUGIN", "loaded", 1);

}  // namespace
}  // namespace millrace

MILLRACE_PLUGIN(registry) { registry.AddPixelOp("darken", &millrace::MakeDarken); }
