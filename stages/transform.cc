#include "stages/transform.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/suggest.h"

namespace millrace::stages {

namespace {

constexpr const char* kFixesSize =
    "add { op = \"random_resized_crop\", size = N } or { op = \"center_crop\", size = N }";

[[noreturn]] void BlameName(const Params& params, const Operations& known) {
  const std::string name = params.Text("op");
  std::vector<std::string> names = known.geometry.Names();
  for (std::string& pixel_op : known.pixels.Names()) names.push_back(std::move(pixel_op));
  params.Blame("op", fmt::format("\"{}\" is not an operation; there are {}{}", name,
                                 fmt::join(names, ", "), Suggest(name, names)));
}

[[noreturn]] void BlameOrder(const Params& before, const Params& params) {
  params.Blame("op", fmt::format("\"{}\" cannot come after \"{}\"; the order is one of "
                                 "random_resized_crop and resize, then center_crop, then flips, "
                                 "then what changes pixels",
                                 params.Text("op"), before.Text("op")));
}

bool MayFollow(const GeometryOp& before, const GeometryOp& op) {
  const bool repeated = before.phase() == op.phase() && op.phase() != GeometryPhase::kFlip;
  return !repeated && before.phase() <= op.phase();
}

}  // namespace

Transform::Transform(const std::vector<Params>& ops, const Operations& known,
                     const Scaling& scaling) {
  if (ops.empty()) FailUsage("ops: the list is empty; {}", kFixesSize);
  std::optional<Size> size;
  for (const Params& params : ops) {
    const GeometryOpMaker* make = known.geometry.Find(params.Text("op"));
    if (make == nullptr) break;
    std::unique_ptr<GeometryOp> op = (*make)(params);
    params.RefuseUnknown();
    const std::size_t i = ops_.size();
    if (i > 0 && !MayFollow(*ops_[i - 1], *op)) BlameOrder(ops[i - 1], params);
    op->Scale(scaling);
    size = op->OutputSize(size);
    ops_.push_back(std::move(op));
  }
  const std::size_t folded = ops_.size();
  if (folded < ops.size() && known.pixels.Find(ops[folded].Text("op")) == nullptr) {
    BlameName(ops[folded], known);
  }
  if (!size) {
    ops[folded > 0 ? folded - 1 : 0].Blame(
        "op", fmt::format("ends a list whose output size depends on the picture; {}", kFixesSize));
  }
  output_size_ = *size;
  for (std::size_t i = folded; i < ops.size(); ++i) {
    const std::string name = ops[i].Text("op");
    if (known.geometry.Find(name) != nullptr) BlameOrder(ops[i - 1], ops[i]);
    const PixelOpMaker* make = known.pixels.Find(name);
    if (make == nullptr) BlameName(ops[i], known);
    std::unique_ptr<PixelOp> op = (*make)(ops[i], output_size_);
    ops[i].RefuseUnknown();
    pixel_ops_.push_back(std::move(op));
  }
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

void Transform::ApplyPixelOps(const RandomKey& key, PixelScratch* scratch,
                              std::uint8_t* pixels) const {
  for (std::size_t i = 0; i < pixel_ops_.size(); ++i) {
    const RandomStream random(key, static_cast<std::uint32_t>(ops_.size() + i));
    pixel_ops_[i]->Apply(random, scratch, {.data = pixels, .size = output_size_});
  }
}

}  // namespace millrace::stages
