// The list of operations of one loader: `ops` of the recipe.
//
// Plan() decides from the picture's size and the random key, before anything is decoded, what every
// operation on geometry does; SourceOf() of the plan is what must be decoded; Apply() makes the
// pixels, and ApplyPixelOps() changes them as the rest of the list says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/params.h"
#include "base/random.h"
#include "base/result.h"
#include "stages/geometry.h"
#include "stages/image.h"
#include "stages/ops/geometry_op.h"
#include "stages/ops/operations.h"
#include "stages/ops/pixel_op.h"
#include "stages/resize.h"

namespace millrace::stages {

// Immutable after construction: any number of threads may use one object.
class Transform {
 public:
  // One section per operation: { op = "<name>", ... }, each one of `known`. Throws Error (exit code
  // 2) for an unknown name or setting, an order that is not allowed (random_resized_crop or resize,
  // then center_crop, then flips, then pixel operations), and a list whose output size depends on
  // the picture. `scaling` is of all sizes in the list that are pictures': pixel operations see the
  // output's size and keep their own settings.
  explicit Transform(const std::vector<Params>& ops, const Operations& known,
                     const Scaling& scaling = {});

  // What leaves the transform, whatever the picture.
  Size output_size() const { return output_size_; }

  // Whether pictures decoded smaller (stages/decode_scale.h) may enter it: something resizes them
  // and averages while it does.
  bool TakesSmallerPictures() const;

  // Whether there is anything for ApplyPixelOps() to do.
  bool HasPixelOps() const { return !pixel_ops_.empty(); }

  // A pure function. The operation at position i of the list draws from RandomStream(key, i). The
  // Fault of a picture that an operation cannot be applied to names the operation.
  // REQUIRES: picture not empty
  Result<Geometry> Plan(Size picture, const RandomKey& key) const;

  // Writes output_size() RGB pixels, row after row without gaps. `source` holds the pixels of
  // SourceOf(geometry); `resizer` is the calling thread's own.
  void Apply(const Geometry& geometry, const Image& source, Resizer* resizer,
             std::uint8_t* out) const;

  // The same where the source comes row by row: Resizer::Begin().
  RowSink* Begin(const Geometry& geometry, Resizer* resizer, std::uint8_t* out) const;

  // Changes finished pixels, as Apply() or Begin() left them, in place. A pure function too, with
  // the same streams. `scratch` is the calling thread's own.
  void ApplyPixelOps(const RandomKey& key, PixelScratch* scratch, std::uint8_t* pixels) const;

 private:
  std::vector<std::unique_ptr<GeometryOp>> ops_;
  std::vector<std::unique_ptr<PixelOp>> pixel_ops_;  // after them in the list
  Size output_size_;
};

}  // namespace millrace::stages
