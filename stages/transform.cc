#include "stages/transform.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/suggest.h"
#include "stages/ops/center_crop.h"
#include "stages/ops/flip.h"
#include "stages/ops/random_resized_crop.h"
#include "stages/ops/resize_op.h"

namespace millrace::stages {

namespace {

struct Entry {
  const char* name;
  std::unique_ptr<GeometryOp> (*make)(const Params& params);
};

// Every operation there is.
constexpr Entry kOps[] = {
    {"random_resized_crop", &MakeRandomResizedCrop},
    {"resize", &MakeResize},
    {"center_crop", &MakeCenterCrop},
    {"horizontal_flip", &MakeHorizontalFlip},
    {"vertical_flip", &MakeVerticalFlip},
};

constexpr const char* kFixesSize =
    "add { op = \"random_resized_crop\", size = N } or { op = \"center_crop\", size = N }";

std::unique_ptr<GeometryOp> MakeOp(const Params& params) {
  const std::string name = params.Text("op");
  std::vector<std::string> names;
  for (const Entry& entry : kOps) {
    if (entry.name == name) {
      std::unique_ptr<GeometryOp> op = entry.make(params);
      params.RefuseUnknown();
      return op;
    }
    names.emplace_back(entry.name);
  }
  params.Blame("op", fmt::format("\"{}\" is not an operation; there are {}{}", name,
                                 fmt::join(names, ", "), Suggest(name, names)));
}

void CheckOrder(const GeometryOp& before, const GeometryOp& op, const Params& params_before,
                const Params& params) {
  const bool repeated = before.phase() == op.phase() && op.phase() != GeometryPhase::kFlip;
  if (!repeated && before.phase() <= op.phase()) return;
  params.Blame("op", fmt::format("\"{}\" cannot come after \"{}\"; the order is one of "
                                 "random_resized_crop and resize, then center_crop, then flips",
                                 params.Text("op"), params_before.Text("op")));
}

}  // namespace

Transform::Transform(const std::vector<Params>& ops) {
  if (ops.empty()) FailUsage("ops: the list is empty; {}", kFixesSize);
  std::optional<Size> size;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    ops_.push_back(MakeOp(ops[i]));
    if (i > 0) CheckOrder(*ops_[i - 1], *ops_[i], ops[i - 1], ops[i]);
    size = ops_.back()->OutputSize(size);
  }
  if (!size) {
    ops.back().Blame(
        "op", fmt::format("ends a list whose output size depends on the picture; {}", kFixesSize));
  }
  output_size_ = *size;
}

bool Transform::TakesSmallerPictures() const {
  return std::any_of(ops_.begin(), ops_.end(), [](const auto& op) {
    const std::optional<ResizeMode> mode = op->resize_mode();
    return mode && *mode != ResizeMode::kOpenCv;
  });
}

Result<Geometry> Transform::Plan(Size picture, const RandomKey& key) const {
  Geometry geometry;
  geometry.crop = {0, 0, picture.width, picture.height};
  geometry.resized = picture;
  geometry.window = geometry.crop;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    const RandomStream random(key, static_cast<std::uint32_t>(i));
    if (const Outcome folded = ops_[i]->Fold(random, &geometry); !folded) return folded.fault();
  }
  return geometry;
}

void Transform::Apply(const Geometry& geometry, const Image& source, Resizer* resizer,
                      std::uint8_t* out) const {
  resizer->Resize(geometry, source, out, static_cast<std::size_t>(output_size_.width) * kChannels);
}

RowSink* Transform::Begin(const Geometry& geometry, Resizer* resizer, std::uint8_t* out) const {
  return resizer->Begin(geometry, out, static_cast<std::size_t>(output_size_.width) * kChannels);
}

}  // namespace millrace::stages
