#include "stages/region/region_decoder.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "stages/region/idct.h"
#include "storage/jpeg_marker_codes.h"

namespace millrace::stages::region {
namespace {

constexpr int kSide = static_cast<int>(storage::kBlockSide);

// Pixels on every side of a region that its own pixels depend on: the next sample of chroma.
constexpr int kContext = 2;

// Coefficients of a band [bytes]: with its samples and the segments it stays in a second-level
// cache of 512 KiB, and there are enough segments to keep several under way.
constexpr std::size_t kBandBytes = std::size_t{128} << 10;

int Divide(int a, int b) { return (a + b - 1) / b; }

}  // namespace

bool RegionDecoder::Decode(const storage::RecordView& record, Box region, Image* out) {
  if (!Plan(record, region)) return false;
  out->Resize(region.width, region.height);
  const int bottom = region.y + region.height;
  int done = region.y;
  for (Range rows{mcu_rows_.begin, 0}; rows.begin < mcu_rows_.end; rows.begin = rows.end) {
    rows.end = std::min(rows.begin + band_rows_, mcu_rows_.end);
    if (!TakeBand(record, rows)) return false;
    if (!MakeSamples(rows)) return false;
    // The last row waits for the chroma below it.
    const int made =
        rows.end * frame_.mcu.height - (sampling_ == Sampling::k420 || sampling_ == Sampling::k440);
    const int end = rows.end == mcu_rows_.end ? bottom : std::min(made, bottom);
    if (end > done) {
      ConvertRows(region, {done, end}, out);
      done = end;
    }
  }
  return true;
}

// Decides what is decoded and where it goes.
bool RegionDecoder::Plan(const storage::RecordView& record, Box region) {
  const auto segments = record.region_index.segment_bytes;
  segment_mcus_ = static_cast<int>(record.region_index.segment_mcus);
  if (segment_mcus_ <= 0) return false;
  const std::optional<Frame> frame = ReadFrame(record.payload);
  if (!frame || frame->restart_interval != record.region_index.segment_mcus ||
      frame->picture.width != static_cast<int>(record.width) ||
      frame->picture.height != static_cast<int>(record.height)) {
    return false;
  }
  frame_ = *frame;
  const Size mcu = frame_.mcu;
  const int row_mcus = Divide(frame_.picture.width, mcu.width);
  all_columns_ = row_mcus / segment_mcus_;
  all_mcu_rows_ = Divide(frame_.picture.height, mcu.height);
  if (row_mcus % segment_mcus_ != 0 ||
      segments.size() !=
          static_cast<std::size_t>(all_columns_) * static_cast<std::size_t>(all_mcu_rows_) ||
      !MakeTables()) {
    return false;
  }
  const auto cover = [](int first, int pixels, int all, int each) {
    return Range{std::max(0, first - kContext) / each,
                 Divide(std::min(all, first + pixels + kContext), each)};
  };
  columns_ = cover(region.x, region.width, frame_.picture.width, segment_mcus_ * mcu.width);
  mcu_rows_ = cover(region.y, region.height, frame_.picture.height, mcu.height);
  const PlaneFrame& luma = frame_.planes[0];
  sampling_ = num_planes() == 1 || (luma.h == 1 && luma.v == 1) ? Sampling::k444
              : luma.v == 1                                     ? Sampling::k422
              : luma.h == 1                                     ? Sampling::k440
                                                                : Sampling::k420;
  // What comes before the first row of segments.
  const auto before = segments.first(static_cast<std::size_t>(mcu_rows_.begin) *
                                     static_cast<std::size_t>(all_columns_));
  from_ = std::accumulate(before.begin(), before.end(), frame_.scan + 2 * before.size());

  segment_blocks_ = 0;
  for (int i = 0; i < num_planes(); ++i) {
    const PlaneFrame& plane = frame_.planes[static_cast<std::size_t>(i)];
    segment_blocks_ += segment_mcus_ * plane.h * plane.v;
  }
  const std::size_t row_bytes = static_cast<std::size_t>(columns_.size()) *
                                static_cast<std::size_t>(segment_blocks_) * storage::kBlockSize *
                                sizeof(std::int16_t);
  band_rows_ = std::clamp(static_cast<int>(kBandBytes / row_bytes), 1, mcu_rows_.size());
  std::size_t coefficients = 0;
  for (int i = 0; i < num_planes(); ++i) {
    plane(i).coefficients = coefficients;
    PlanPlane(&plane(i), frame_.planes[static_cast<std::size_t>(i)], region);
    coefficients += plane(i).row_blocks * storage::kBlockSize *
                    static_cast<std::size_t>(band_rows_ * plane(i).v);
  }
  if (coefficients_.size() < coefficients) coefficients_.resize(coefficients);
  PlanSteps();
  return true;
}

bool RegionDecoder::MakeTables() {
  std::array<bool, 2> has_dc{};
  std::array<bool, 2> has_ac{};
  for (int i = 0; i < num_planes(); ++i) {
    const PlaneFrame& frame = frame_.planes[static_cast<std::size_t>(i)];
    const std::size_t dc = frame.dc_table;
    const std::size_t ac = frame.ac_table;
    if (!has_dc[dc] && !dc_[dc].Make(frame_.dc_tables[dc], CodeKind::kDc)) return false;
    if (!has_ac[ac] && !ac_[ac].Make(frame_.ac_tables[ac], CodeKind::kAc)) return false;
    has_dc[dc] = has_ac[ac] = true;
    plane(i).dc = &dc_[dc];
    plane(i).ac = &ac_[ac];
  }
  return true;
}

void RegionDecoder::PlanPlane(Plane* plane, const PlaneFrame& frame, Box region) {
  plane->h = frame.h;
  plane->v = frame.v;
  plane->quantizers = &frame.quantizers;
  plane->all = frame.samples;
  const int segment_samples = segment_mcus_ * frame.h * kSide;
  plane->first_x = columns_.begin * segment_samples;
  plane->first_y = mcu_rows_.begin * frame.v * kSide;
  const int across = frame_.mcu.width / (frame.h * kSide);
  const int first = std::max(0, region.x - kContext) / across;
  const int end =
      Divide(std::min(frame_.picture.width, region.x + region.width + kContext), across);
  plane->blocks = {(first - plane->first_x) / kSide, Divide(end - plane->first_x, kSide)};
  plane->row_blocks =
      static_cast<std::size_t>(columns_.size() * segment_mcus_ * frame.h) + kMostBlocksAtOnce - 1;
  plane->row_samples = plane->row_blocks * storage::kBlockSide + 2 * kRowMargin;
  const std::size_t samples =
      plane->row_samples * static_cast<std::size_t>(mcu_rows_.size() * frame.v * kSide);
  if (plane->samples.size() < samples) plane->samples.resize(samples);
}

// The steps of a band are those of every other one.
void RegionDecoder::PlanSteps() {
  steps_.resize(static_cast<std::size_t>(band_rows_ * columns_.size()) *
                static_cast<std::size_t>(segment_blocks_ + 1));
  BlockStep* step = steps_.data();
  for (int row = 0; row < band_rows_; ++row) {
    for (int mcu = 0; mcu < columns_.size() * segment_mcus_; ++mcu) {
      for (int i = 0; i < num_planes(); ++i) {
        const Plane& of = plane(i);
        for (int y = row * of.v; y < (row + 1) * of.v; ++y) {
          const std::size_t first = of.row_blocks * static_cast<std::size_t>(y);
          for (int x = mcu * of.h; x < (mcu + 1) * of.h; ++x) {
            *step++ = {
                .tables = {{of.dc, of.ac}},
                .place = static_cast<std::int64_t>(
                    of.coefficients + (first + static_cast<std::size_t>(x)) * storage::kBlockSize)};
          }
        }
      }
      if ((mcu + 1) % segment_mcus_ == 0) *step++ = {.tables = {{}}, .place = BlockStep::kEnd};
    }
  }
}

// Decodes the coefficients of some MCU rows.
bool RegionDecoder::TakeBand(const storage::RecordView& record, Range rows) {
  const auto index = record.region_index.segment_bytes;
  const auto row_segments = static_cast<std::size_t>(all_columns_);
  const auto at = [&](int row) { return static_cast<std::size_t>(row) * row_segments; };
  const auto of_band = index.subspan(at(rows.begin), at(rows.end) - at(rows.begin));
  bytes_.Begin(std::accumulate(of_band.begin(), of_band.end(), std::size_t{0}),
               static_cast<std::size_t>(segment_blocks_));
  std::memset(coefficients_.data(), 0, coefficients_.size() * sizeof(std::int16_t));
  segments_.clear();
  const BlockStep* steps = steps_.data();
  for (int row = rows.begin; row < rows.end; ++row) {
    for (int column = 0; column < all_columns_; ++column) {
      const std::size_t number = at(row) + static_cast<std::size_t>(column);
      const std::size_t begin = from_;
      const std::size_t end = begin + index[number];
      from_ = end + 2;
      if (from_ > record.payload.size()) return false;
      if (column < columns_.begin || column >= columns_.end) continue;
      const std::uint8_t marker = number + 1 == index.size()
                                      ? static_cast<std::uint8_t>(storage::kEoi)
                                      : static_cast<std::uint8_t>(storage::kRst0 + number % 8);
      if (record.payload[end] != std::byte{0xFF} || record.payload[end + 1] != std::byte{marker}) {
        return false;
      }
      Segment segment{.top = 0, .bytes = 0, .steps = steps};
      if (!bytes_.Take(record.payload, begin, index[number], &segment)) return false;
      segments_.push_back(segment);
      steps += segment_blocks_ + 1;
    }
  }
  return DecodeSegments(bytes_, segments_, coefficients_.data()) && AddDcSteps(rows.size());
}

// Makes DC coefficients of the steps between them. False where one has more than 16 bits.
bool RegionDecoder::AddDcSteps(int band_rows) {
  const BlockStep* step = steps_.data();
  bool is_large = false;
  for (int segment = 0; segment < band_rows * columns_.size(); ++segment) {
    std::array<std::int32_t, 3> last{};
    for (int mcu = 0; mcu < segment_mcus_; ++mcu) {
      for (int i = 0; i < num_planes(); ++i) {
        std::int32_t& dc = last[static_cast<std::size_t>(i)];
        for (int block = 0; block < plane(i).h * plane(i).v; ++block, ++step) {
          std::int16_t& coefficient = coefficients_[static_cast<std::size_t>(step->place)];
          dc += coefficient;
          coefficient = static_cast<std::int16_t>(dc);
          is_large |= coefficient != dc;
          dc = coefficient;  // so that no sum of many steps outgrows 32 bits
        }
      }
    }
    ++step;  // the end
  }
  return !is_large;
}

// Makes the samples of a band that the region needs. False where a number is larger than any
// picture has.
bool RegionDecoder::MakeSamples(Range rows) {
  for (int i = 0; i < num_planes(); ++i) {
    Plane& of = plane(i);
    const bool ends_left = of.first_x == 0;
    const int width = of.all.width - of.first_x;
    const bool ends_right = width <= of.blocks.end * kSide;
    for (int y = 0; y < rows.size() * of.v; ++y) {
      const int sample_y = (rows.begin * of.v + y) * kSide;
      const std::size_t first =
          of.row_blocks * static_cast<std::size_t>(y) + static_cast<std::size_t>(of.blocks.begin);
      if (!InverseDct(kernels_,
                      coefficients_.data() + of.coefficients + first * storage::kBlockSize,
                      *of.quantizers, of.blocks.size(), of.row(sample_y) + of.blocks.begin * kSide,
                      of.row_samples))
        return false;
      if (i == 0) continue;
      // Beyond the edges of the picture are the samples at its edges.
      for (int row = sample_y; row < sample_y + kSide; ++row) {
        if (ends_left) of.row(row)[-1] = of.row(row)[0];
        if (ends_right) of.row(row)[width] = of.row(row)[width - 1];
      }
    }
  }
  return true;
}

// The samples of chroma for the pixels of a row of the region.
const std::uint8_t* RegionDecoder::ChromaOf(Plane& of, Box region, int y,
                                            std::vector<std::uint8_t>* row) {
  const bool has_half_width = sampling_ == Sampling::k422 || sampling_ == Sampling::k420;
  const bool has_half_height = sampling_ == Sampling::k440 || sampling_ == Sampling::k420;
  const int sample_y = has_half_height ? y / 2 : y;
  if (sampling_ == Sampling::k444) return of.row(sample_y) + region.x - of.first_x;
  const bool is_lower = y % 2 != 0;
  const int far_y =
      has_half_height ? std::clamp(sample_y + (is_lower ? 1 : -1), 0, of.all.height - 1) : sample_y;
  const int first = has_half_width ? region.x / 2 : region.x;
  const int count = has_half_width ? (region.x + region.width - 1) / 2 - first + 1 : region.width;
  const std::size_t room = static_cast<std::size_t>(region.width) + 2 + 2 * kRowMargin;
  if (row->size() < room) row->resize(room);
  InterpolateChroma(kernels_, sampling_,
                    {.near = of.row(sample_y) + first - of.first_x,
                     .far = of.row(far_y) + first - of.first_x,
                     .is_lower = is_lower},
                    count, row->data());
  return row->data() + (has_half_width ? region.x % 2 : 0);
}

void RegionDecoder::ConvertRows(Box region, Range rows, Image* out) {
  if (num_planes() == 1) {
    // Chroma in the middle leaves grey.
    const std::size_t room = static_cast<std::size_t>(region.width) + kRowMargin;
    blue_.assign(std::max(blue_.size(), room), 128);
  }
  for (int y = rows.begin; y < rows.end; ++y) {
    const std::uint8_t* luma = plane(0).row(y) + region.x - plane(0).first_x;
    const bool is_grey = num_planes() == 1;
    const std::uint8_t* blue = is_grey ? blue_.data() : ChromaOf(plane(1), region, y, &blue_);
    const std::uint8_t* red = is_grey ? blue_.data() : ChromaOf(plane(2), region, y, &red_);
    ConvertRow(kernels_, luma, blue, red, region.width, out->row(y - region.y));
  }
}

}  // namespace millrace::stages::region
