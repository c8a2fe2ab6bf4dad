#include "stages/resize.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "stages/decode_scale.h"
#include "stages/linear.h"

namespace millrace::stages {

namespace {

// The crop in whole pixels of the picture as it is decoded.
Box OuterCrop(const Geometry& geometry) {
  const Box& crop = geometry.crop;
  const int left = crop.x * geometry.scale / kFullScale;
  const int top = crop.y * geometry.scale / kFullScale;
  const Size end = ScaledSize({crop.x + crop.width, crop.y + crop.height}, geometry.scale);
  return {left, top, end.width - left, end.height - top};
}

// Eighths have an exact double, and an exact float as Pillow keeps them.
double Scaled(int pixels, int scale) { return static_cast<double>(pixels * scale) / kFullScale; }

Axis AxisX(const Geometry& geometry) {
  const Box outer = OuterCrop(geometry);
  return {.crop = outer.width,
          .start = Scaled(geometry.crop.x, geometry.scale) - outer.x,
          .length = Scaled(geometry.crop.width, geometry.scale),
          .resized = geometry.resized.width,
          .begin = geometry.window.x,
          .count = geometry.window.width,
          .flip = geometry.flip_horizontal};
}

// Never flipped: rows are written in reverse order instead.
Axis AxisY(const Geometry& geometry) {
  const Box outer = OuterCrop(geometry);
  return {.crop = outer.height,
          .start = Scaled(geometry.crop.y, geometry.scale) - outer.y,
          .length = Scaled(geometry.crop.height, geometry.scale),
          .resized = geometry.resized.height,
          .begin = geometry.window.y,
          .count = geometry.window.height,
          .flip = false};
}

bool IsResized(const Geometry& geometry) {
  return geometry.scale != kFullScale ||
         geometry.resized != Size{geometry.crop.width, geometry.crop.height};
}

// Of a resize with Pillow's arithmetic.
bool IsVerticalFirst(const Geometry& geometry) {
  const Box crop = OuterCrop(geometry);
  const int shrink_x = crop.width - geometry.resized.width;
  const int shrink_y = crop.height - geometry.resized.height;
  switch (geometry.mode) {
    case ResizeMode::kPillow:  // ImagingResampleInner of src/libImaging/Resample.c, Pillow 13.0
      return shrink_y > 0 && shrink_y > 2 * shrink_x;
    case ResizeMode::kPillow12:  // Image.resize of src/PIL/Image.py, Pillow 9.5
      return crop.height > 100 * crop.width && shrink_y > 0;
    case ResizeMode::kOpenCv:
      break;
  }
  MILLRACE_CHECK(false && "unknown resize mode");
}

}  // namespace

ResizePasses PassesOf(const Geometry& geometry) {
  if (!IsResized(geometry)) return ResizePasses::kNone;
  if (geometry.mode == ResizeMode::kOpenCv) return ResizePasses::kLinear;
  return IsVerticalFirst(geometry) ? ResizePasses::kVerticalFirst : ResizePasses::kHorizontalFirst;
}

Box SourceOf(const Geometry& geometry) {
  if (!IsResized(geometry)) {
    return {geometry.crop.x + geometry.window.x, geometry.crop.y + geometry.window.y,
            geometry.window.width, geometry.window.height};
  }
  const auto source_run = geometry.mode == ResizeMode::kOpenCv ? LinearRun : SourceRun;
  const Run x = source_run(AxisX(geometry));
  const Run y = source_run(AxisY(geometry));
  const Box outer = OuterCrop(geometry);
  return {outer.x + x.begin, outer.y + y.begin, x.count, y.count};
}

void Resizer::Resize(const Geometry& geometry, const Image& source, std::uint8_t* out,
                     std::size_t row_bytes) {
  const Box needed = SourceOf(geometry);
  MILLRACE_CHECK(source.width() == needed.width && source.height() == needed.height);
  const ResizePasses passes = PassesOf(geometry);
  switch (passes) {
    case ResizePasses::kNone:
      return Copy(geometry, source, out, row_bytes);
    case ResizePasses::kLinear:
      MILLRACE_CHECK(geometry.scale == kFullScale);
      return Linear(geometry, source, out, row_bytes);
    case ResizePasses::kVerticalFirst:
      return VerticalFirst(geometry, source, out, row_bytes);
    case ResizePasses::kHorizontalFirst:
      break;
  }
  horizontal_first_.Begin(geometry, out, row_bytes);
  for (int y = 0; y < source.height(); y += kRowsTogether) {
    horizontal_first_.Take(source.row(y), std::min(kRowsTogether, source.height() - y));
  }
}

RowSink* Resizer::Begin(const Geometry& geometry, std::uint8_t* out, std::size_t row_bytes) {
  if (PassesOf(geometry) != ResizePasses::kHorizontalFirst) return nullptr;
  horizontal_first_.Begin(geometry, out, row_bytes);
  return &horizontal_first_;
}

void Resizer::Reserve(std::size_t scratch_bytes, int taps) {
  if (scratch_.size() < scratch_bytes) scratch_.resize(scratch_bytes);
  taps_.resize(static_cast<std::size_t>(taps));
}

void Resizer::HorizontalFirst::Begin(const Geometry& geometry, std::uint8_t* out,
                                     std::size_t row_bytes) {
  along_x_.Build(AxisX(geometry));
  along_y_.Build(AxisY(geometry));
  source_row_bytes_ = static_cast<std::size_t>(SourceRun(AxisX(geometry)).count) * kChannels;
  const std::size_t room = source_row_bytes_ * kRowsTogether + kReadableBytesBehind;
  if (room_.size() < room) room_.resize(room);
  taps_.resize(static_cast<std::size_t>(2 * along_y_.pairs()));
  // Rows leave the ring as soon as they can.
  ring_rows_ = 2 * along_y_.pairs() + kRowsTogether;
  ring_row_bytes_ =
      static_cast<std::size_t>(along_x_.padded_outputs()) * kChannels + kWritableBytesBehind;
  const std::size_t ring = ring_row_bytes_ * static_cast<std::size_t>(ring_rows_);
  if (ring_.size() < ring) ring_.resize(ring);
  made_ = 0;
  const int height = geometry.window.height;
  out_ = out + (geometry.flip_vertical ? row_bytes * static_cast<std::size_t>(height - 1) : 0);
  to_next_out_ = static_cast<std::ptrdiff_t>(row_bytes) * (geometry.flip_vertical ? -1 : 1);
  out_bytes_ = static_cast<std::size_t>(geometry.window.width) * kChannels;
  next_output_ = 0;
}

void Resizer::HorizontalFirst::Take(const std::uint8_t* rows, int count) {
  const std::uint8_t* sources[kRowsTogether];
  std::uint8_t* outputs[kRowsTogether];
  for (int i = 0; i < count; ++i, rows += source_row_bytes_) {
    sources[i] = rows;
    outputs[i] = ring_row(made_ + i);
  }
  ResampleRows(kernels_, along_x_, sources, count, outputs);
  made_ += count;
  while (next_output_ < along_y_.outputs() &&
         along_y_.first(next_output_) + along_y_.taps(next_output_) <= made_) {
    MakeOutput();
  }
}

void Resizer::HorizontalFirst::MakeOutput() {
  const int first = along_y_.first(next_output_);
  for (std::size_t tap = 0; tap < taps_.size(); ++tap) {
    // Taps past the last have no weight; any row that exists will do.
    taps_[tap] = ring_row(std::min(first + static_cast<int>(tap), made_ - 1));
  }
  ResampleColumns(kernels_, along_y_.coefficients(next_output_), along_y_.pairs(), taps_.data(),
                  out_bytes_, out_);
  ++next_output_;
  out_ += to_next_out_;
}

void Resizer::VerticalFirst(const Geometry& geometry, const Image& source, std::uint8_t* out,
                            std::size_t row_bytes) {
  along_x_.Build(AxisX(geometry));
  along_y_.Build(AxisY(geometry));
  const int taps = 2 * along_y_.pairs();
  const std::size_t tall_stride = source.row_bytes() + kReadableBytesBehind;
  const std::size_t done_stride =
      static_cast<std::size_t>(along_x_.padded_outputs()) * kChannels + kWritableBytesBehind;
  Reserve((tall_stride + done_stride) * kRowsTogether, taps);
  std::uint8_t* sources[kRowsTogether];
  std::uint8_t* outputs[kRowsTogether];  // wider than rows of `out`, which end in others' memory
  for (std::size_t i = 0; i < kRowsTogether; ++i) {
    sources[i] = scratch_.data() + tall_stride * i;
    outputs[i] = scratch_.data() + tall_stride * kRowsTogether + done_stride * i;
  }
  const int height = geometry.window.height;
  for (int y = 0; y < height; y += kRowsTogether) {
    const int count = std::min(kRowsTogether, height - y);
    for (int i = 0; i < count; ++i) {
      for (int tap = 0; tap < taps; ++tap) {
        taps_[static_cast<std::size_t>(tap)] =
            source.row(std::min(along_y_.first(y + i) + tap, source.height() - 1));
      }
      ResampleColumns(kernels_, along_y_.coefficients(y + i), along_y_.pairs(), taps_.data(),
                      source.row_bytes(), sources[i]);
    }
    ResampleRows(kernels_, along_x_, sources, count, outputs);
    for (int i = 0; i < count; ++i) {
      const int out_y = geometry.flip_vertical ? height - 1 - (y + i) : y + i;
      std::memcpy(out + row_bytes * static_cast<std::size_t>(out_y), outputs[i],
                  static_cast<std::size_t>(geometry.window.width) * kChannels);
    }
  }
}

// A picture that shrinks has rows that no output row looks at; they are passed over.
void Resizer::Linear(const Geometry& geometry, const Image& source, std::uint8_t* out,
                     std::size_t row_bytes) {
  linear_x_.Build(AxisX(geometry));
  linear_y_.Build(AxisY(geometry));
  const int height = geometry.window.height;
  linear_sources_.clear();
  for (int y = 0; y < height; ++y) {
    for (const int row : {linear_y_.tap(y).first, linear_y_.tap(y).second}) {
      if (linear_sources_.empty() || row > linear_sources_.back()) linear_sources_.push_back(row);
    }
  }
  // Of these, a ring as in HorizontalFirst().
  constexpr std::size_t kCapacity = kRowsTogether + 2;
  const std::size_t stride =
      static_cast<std::size_t>(linear_x_.padded_outputs()) * kChannels + kWritableValuesBehind;
  if (linear_rows_.size() < stride * kCapacity) linear_rows_.resize(stride * kCapacity);
  const auto ring_row = [&](std::size_t i) {
    return linear_rows_.data() + stride * (i % kCapacity);
  };

  std::size_t made = 0;  // of linear_sources_
  std::size_t at = 0;    // the first source row of the output row, in linear_sources_
  for (int y = 0; y < height; ++y) {
    const LinearTap& tap = linear_y_.tap(y);
    while (linear_sources_[at] < tap.first) ++at;
    const std::size_t behind = at + (tap.second > tap.first ? 2 : 1);
    while (made < behind) {
      const std::size_t count = std::min<std::size_t>(kRowsTogether, linear_sources_.size() - made);
      const std::uint8_t* sources[kRowsTogether];
      std::int16_t* outputs[kRowsTogether];
      for (std::size_t i = 0; i < count; ++i) {
        sources[i] = source.row(linear_sources_[made + i]);
        outputs[i] = ring_row(made + i);
      }
      LinearRows(kernels_, linear_x_, sources, static_cast<int>(count), outputs);
      made += count;
    }
    const int out_y = geometry.flip_vertical ? height - 1 - y : y;
    LinearColumns(kernels_, tap, ring_row(at), ring_row(behind - 1),
                  static_cast<std::size_t>(geometry.window.width) * kChannels,
                  out + row_bytes * static_cast<std::size_t>(out_y));
  }
}

// Without a resize the window is copied; flips still apply.
void Resizer::Copy(const Geometry& geometry, const Image& source, std::uint8_t* out,
                   std::size_t row_bytes) const {
  for (int y = 0; y < source.height(); ++y) {
    const std::uint8_t* from = source.row(geometry.flip_vertical ? source.height() - 1 - y : y);
    std::uint8_t* to = out + row_bytes * static_cast<std::size_t>(y);
    if (!geometry.flip_horizontal) {
      std::memcpy(to, from, source.row_bytes());
      continue;
    }
    for (int x = 0; x < source.width(); ++x) {
      std::memcpy(to + x * kChannels, from + (source.width() - 1 - x) * kChannels, kChannels);
    }
  }
}

}  // namespace millrace::stages
