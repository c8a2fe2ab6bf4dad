// MixUp and CutMix: training pictures mixed with one another on the device, and their labels alike.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/params.h"
#include "base/random.h"
#include "stages/batch.h"
#include "stages/device_batch.h"
#include "stages/geometry.h"

namespace millrace::stages {

// How the pictures of one batch are mixed, all alike: each with the one before it in the batch, the
// first with the last.
struct Mix {
  double own = 1;        // share of the picture's own pixels outside of the box
  Box box;               // here are the other one's; may be empty
  double own_label = 1;  // share of its own label
};

// The `mix` list of a loader: { op = "mixup", alpha = 0.2 }, { op = "cutmix", alpha = 1.0 }. One of
// its operations is drawn for each batch of a device, all with equal probability, and takes place
// with its probability `p` (1).
//
//   mixup   pixels and labels by a share drawn from Beta(alpha, alpha) (arXiv:1710.09412)
//   cutmix  a box of the other's pixels, whose share of the area is drawn so, and labels by the
//           area that is left of it within the picture (arXiv:1905.04899)
//
// Shares, boxes and labels are those of torchvision's v2.MixUp and v2.CutMix. Immutable: any number
// of threads may use one object.
class Mixing {
 public:
  // Mixes nothing.
  Mixing() = default;
  // Throws Error (exit code 2) for an unknown name or a wrong value.
  Mixing(const std::vector<Params>& ops, std::uint64_t seed);

  bool empty() const { return ops_.empty(); }

  // A pure function of the seed, the batch's epoch and its place there. REQUIRES: not empty
  Mix Plan(const Batch& batch, Size picture) const;

 private:
  enum class Kind : std::uint8_t { kMixUp, kCutMix };
  struct Op {
    Kind kind = Kind::kMixUp;
    double alpha = 1;
    double p = 1;
  };

  std::vector<Op> ops_;
  std::uint64_t seed_ = 0;
};

// A share drawn from Beta(alpha, alpha), in [0, 1]. REQUIRES: alpha > 0
double SymmetricBeta(double alpha, RandomStream* random);

// Float32 [8], on the CPU: what a step on a device must know of a mix. One tensor, so that a
// recorded step (CUDA graph) reads each batch's own.
at::Tensor MixTensor(const Mix& mix);

// The pictures of the batch mixed as `batch.mix` says, in the type and layout that they have; those
// of the batch itself where it is undefined. Waits for nothing on the device.
at::Tensor MixedImages(const DeviceBatch& batch);

// What the answers to them shall be: shares of the classes, float32 [N, classes]; the labels, int64
// [N], of a batch that is not mixed.
at::Tensor MixedTargets(const DeviceBatch& batch, std::int64_t classes);

}  // namespace millrace::stages
