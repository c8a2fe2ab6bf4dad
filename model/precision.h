// In which number formats a network computes: float32 throughout, or partly in 16 bits.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "base/params.h"

namespace millrace::model {

// Weights, gradients and the optimizer's state are float32 in all of them.
enum class Amp : std::uint8_t {
  kOff,
  kBf16,  // float32's range, 8 bits of precision
  kFp16,  // 11 bits of precision, little range: needs a LossScaler
};

struct Precision {
  Amp amp = Amp::kOff;
  // Lets GPUs round the factors of float32 convolutions and matrix products to TensorFloat-32's 11
  // bits. A permission: devices without that format do not change.
  bool tf32 = false;

  // The type of the images that convolutions get.
  c10::ScalarType image_type() const;
  // "float32", "float32 with TF32", "bfloat16 autocast", "float16 autocast".
  const char* Text() const;
};

// The [precision] section. Keys: `amp` ("off", "bf16", "fp16"; default "off"), `tf32` (false).
// Throws Error (exit code 2) for a wrong value.
Precision ReadPrecision(const Params& section);

// Whether float32 may be TensorFloat-32 on GPUs, in convolutions and matrix products alike. Of the
// whole process.
void AllowTf32(bool allow);

// While it lives, the calling thread's operations on devices of one type run as PyTorch's autocast
// has them: convolutions and matrix products in 16 bits, what needs precision in float32. It keeps
// its 16-bit copies of weights until it ends, so that a weight is converted once per forward pass.
// Hold it around forward pass and loss; backward follows the types that forward took. Not to be
// nested.
class Autocast {
 public:
  Autocast(Amp amp, c10::DeviceType device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const bool on_;
  const c10::DeviceType device_;
};

}  // namespace millrace::model
