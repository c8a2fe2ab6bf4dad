#include "stages/region/region_decoder.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "stages/region/idct.h"

namespace millrace::stages::region {
namespace {

constexpr int kSide = static_cast<int>(storage::kBlockSide);

// Coefficients of a band [bytes]: with its samples and the segments it stays in a second-level
// cache of 512 KiB, and there are enough segments to keep several under way.
constexpr std::size_t kBandBytes = std::size_t{128} << 10;

// All rows of a picture, each where it belongs.
class ImageRows final : public RowSink {
 public:
  explicit ImageRows(Image* image) : image_(*image) {}

  std::uint8_t* Room() override { return image_.row(next_); }
  void Take(int count) override { next_ += count; }

 private:
  Image& image_;
  int next_ = 0;
};

}  // namespace

bool RegionDecoder::Decode(const storage::RecordView& record, Box region, Image* out) {
  out->Resize(region.width, region.height);
  ImageRows rows(out);
  return Decode(record, region, &rows);
}

bool RegionDecoder::Decode(const storage::RecordView& record, Box region, RowSink* sink) {
  if (!Plan(record, region)) return false;
  const int bottom = region.y + region.height;
  int done = region.y;
  for (Range rows{choice_.mcu_rows.begin, 0}; rows.begin < choice_.mcu_rows.end;
       rows.begin = rows.end) {
    rows.end = std::min(rows.begin + band_rows_, choice_.mcu_rows.end);
    if (!TakeBand(record, rows) || !MakeSamples(rows)) {
      std::fill(coefficients_.begin(), coefficients_.end(), 0);
      return false;
    }
    // The last row waits for the chroma below it.
    const int made = rows.end * choice_.frame.mcu.height -
                     (choice_.sampling == Sampling::k420 || choice_.sampling == Sampling::k440);
    const int end = rows.end == choice_.mcu_rows.end ? bottom : std::min(made, bottom);
    for (int count = 0; done < end; done += count) {
      count = std::min(kRowsTogether, bottom - done);
      if (done + count > end) break;  // they wait for the next band
      ConvertRows(region, {done, done + count}, sink->Room());
      sink->Take(count);
    }
  }
  return true;
}

// Decides what is decoded and where it goes.
bool RegionDecoder::Plan(const storage::RecordView& record, Box region) {
  const std::optional<SegmentChoice> choice = ChooseSegments(record, region);
  if (!choice) return false;
  choice_ = *choice;
  cursor_ = SegmentCursor(record, choice_);
  if (!MakeTables()) return false;
  const std::size_t row_bytes = static_cast<std::size_t>(choice_.columns.size()) *
                                static_cast<std::size_t>(choice_.segment_blocks) *
                                storage::kBlockSize * sizeof(std::int16_t);
  band_rows_ = std::clamp(static_cast<int>(kBandBytes / row_bytes), 1, choice_.mcu_rows.size());
  std::size_t coefficients = 0;
  for (int i = 0; i < num_planes(); ++i) {
    plane(i).coefficients = coefficients;
    PlanPlane(&plane(i), choice_.frame.planes[static_cast<std::size_t>(i)], region);
    coefficients = plane(i).PlaceOf(-plane(i).first_in_group, band_rows_ * plane(i).v);
  }
  if (coefficients_.size() < coefficients) coefficients_.resize(coefficients);
  PlanSteps();
  return true;
}

bool RegionDecoder::MakeTables() {
  std::array<bool, CodeTables::kMost> has{};
  const auto make = [&](std::size_t number, const storage::HuffmanTable& table, CodeKind kind) {
    return has[number] || (has[number] = tables_.Make(number, table, kind));
  };
  for (int i = 0; i < num_planes(); ++i) {
    const PlaneFrame& frame = choice_.frame.planes[static_cast<std::size_t>(i)];
    const std::size_t dc = frame.dc_table;
    const std::size_t ac = choice_.frame.dc_tables.size() + frame.ac_table;
    if (!make(dc, choice_.frame.dc_tables[frame.dc_table], CodeKind::kDc)) return false;
    if (!make(ac, choice_.frame.ac_tables[frame.ac_table], CodeKind::kAc)) return false;
    plane(i).dc = CodeTables::FirstOf(dc);
    plane(i).ac = CodeTables::FirstOf(ac);
  }
  return true;
}

void RegionDecoder::PlanPlane(Plane* plane, const PlaneFrame& frame, Box region) {
  plane->h = frame.h;
  plane->v = frame.v;
  plane->quantizers = &frame.quantizers;
  plane->all = frame.samples;
  const int segment_samples = choice_.segment_mcus * frame.h * kSide;
  plane->first_x = choice_.columns.begin * segment_samples;
  plane->first_y = choice_.mcu_rows.begin * frame.v * kSide;
  const Range blocks = NeededBlocks(choice_, frame, region).x;
  plane->blocks = {blocks.begin - plane->first_x / kSide, blocks.end - plane->first_x / kSide};
  plane->first_in_group = (kGroupBlocks - plane->blocks.begin % kGroupBlocks) % kGroupBlocks;
  const int row_blocks = choice_.columns.size() * choice_.segment_mcus * frame.h;
  plane->row_groups = InWholeGroups(plane->first_in_group + row_blocks) / kGroupBlocks;
  plane->row_samples =
      static_cast<std::size_t>(plane->row_groups * kGroupBlocks * kSide) + 2 * kRowMargin;
  // A band, and before it the rows that waited for it: fewer than kRowsTogether, one for the chroma
  // below it and one of chroma above it. An MCU that has chroma between its rows has 16 of them.
  plane->ring_rows = std::min(band_rows_ + 1, choice_.mcu_rows.size()) * frame.v * kSide;
  const std::size_t samples = plane->row_samples * static_cast<std::size_t>(plane->ring_rows);
  if (plane->samples.size() < samples) plane->samples.resize(samples);
}

// The steps of a band are those of every other one.
void RegionDecoder::PlanSteps() {
  steps_.resize(static_cast<std::size_t>(band_rows_ * choice_.columns.size()) * SegmentSteps());
  BlockStep* step = steps_.data();
  for (int row = 0; row < band_rows_; ++row) {
    for (int mcu = 0; mcu < choice_.columns.size() * choice_.segment_mcus; ++mcu) {
      for (int i = 0; i < num_planes(); ++i) {
        const Plane& of = plane(i);
        for (int y = row * of.v; y < (row + 1) * of.v; ++y) {
          for (int x = mcu * of.h; x < (mcu + 1) * of.h; ++x) {
            const auto place = static_cast<std::uint32_t>(of.PlaceOf(x, y));
            *step++ = {.place = place, .table = of.dc};
            *step++ = {.place = place, .table = of.ac};
          }
        }
      }
      if ((mcu + 1) % choice_.segment_mcus == 0) *step++ = BlockStep::End();
    }
  }
}

// Decodes the coefficients of some MCU rows.
bool RegionDecoder::TakeBand(const storage::RecordView& record, Range rows) {
  const auto row_segments = static_cast<std::size_t>(choice_.all_columns);
  const auto at = [&](int row) { return static_cast<std::size_t>(row) * row_segments; };
  const auto of_band =
      record.region_index.segment_bytes.subspan(at(rows.begin), at(rows.end) - at(rows.begin));
  const auto segment_blocks = static_cast<std::size_t>(choice_.segment_blocks);
  bytes_.Begin(std::accumulate(of_band.begin(), of_band.end(), std::size_t{0}), segment_blocks);
  segments_.clear();
  const BlockStep* steps = steps_.data();
  for (int i = 0; i < rows.size() * choice_.columns.size(); ++i, steps += SegmentSteps()) {
    const std::optional<StoredSegment> stored = cursor_.Next();
    if (!stored) return false;
    Segment segment{.top = 0, .bytes = 0, .steps = steps};
    if (!bytes_.Take(record.payload, stored->begin, stored->bytes, &segment)) return false;
    segments_.push_back(segment);
  }
  return DecodeSegments(tables_, bytes_, segments_, coefficients_.data()) &&
         AddDcSteps(rows.size());
}

// Makes DC coefficients of the steps between them. False where one has more than 16 bits.
bool RegionDecoder::AddDcSteps(int band_rows) {
  const int mcu_steps = 2 * choice_.segment_blocks / choice_.segment_mcus;
  const BlockStep* segment_steps = steps_.data();
  bool is_large = false;
  for (int segment = 0; segment < band_rows * choice_.columns.size(); ++segment) {
    // Plane by plane, so that the sum stays in a register.
    const BlockStep* first = segment_steps;
    for (int i = 0; i < num_planes(); ++i) {
      const int blocks = plane(i).h * plane(i).v;
      std::int32_t dc = 0;
      const BlockStep* of_mcu = first;
      for (int mcu = 0; mcu < choice_.segment_mcus; ++mcu, of_mcu += mcu_steps) {
        for (int block = 0; block < blocks; ++block) {
          std::int16_t& coefficient = coefficients_[of_mcu[2 * block].place];
          dc += coefficient;
          coefficient = static_cast<std::int16_t>(dc);
          is_large |= coefficient != dc;
          dc = coefficient;  // so that no sum of many steps outgrows 32 bits
        }
      }
      first += 2 * blocks;
    }
    segment_steps += SegmentSteps();
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
      const auto at = [&](int x, int of_y) { return coefficients_.data() + of.PlaceOf(x, of_y); };
      if (!InverseDct(kernels_, at(of.blocks.begin, y), *of.quantizers, of.blocks.size(),
                      of.row(sample_y) + of.blocks.begin * kSide, of.row_samples))
        return false;
      // Of the groups without a needed block.
      const int behind = of.blocks.begin + InWholeGroups(of.blocks.size());
      std::fill(at(-of.first_in_group, y), at(of.blocks.begin, y), 0);
      std::fill(at(behind, y), at(-of.first_in_group, y + 1), 0);
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
  const bool has_half_width =
      choice_.sampling == Sampling::k422 || choice_.sampling == Sampling::k420;
  const bool has_half_height =
      choice_.sampling == Sampling::k440 || choice_.sampling == Sampling::k420;
  const int sample_y = has_half_height ? y / 2 : y;
  if (choice_.sampling == Sampling::k444) return of.row(sample_y) + region.x - of.first_x;
  const bool is_lower = y % 2 != 0;
  const int far_y =
      has_half_height ? std::clamp(sample_y + (is_lower ? 1 : -1), 0, of.all.height - 1) : sample_y;
  const int first = has_half_width ? region.x / 2 : region.x;
  const int count = has_half_width ? (region.x + region.width - 1) / 2 - first + 1 : region.width;
  const std::size_t room = static_cast<std::size_t>(region.width) + 2 + 2 * kRowMargin;
  if (row->size() < room) row->resize(room);
  InterpolateChroma(kernels_, choice_.sampling,
                    {.near = of.row(sample_y) + first - of.first_x,
                     .far = of.row(far_y) + first - of.first_x,
                     .is_lower = is_lower},
                    count, row->data());
  return row->data() + (has_half_width ? region.x % 2 : 0);
}

void RegionDecoder::ConvertRows(Box region, Range rows, std::uint8_t* out) {
  if (num_planes() == 1) {
    // Chroma in the middle leaves grey.
    const std::size_t room = static_cast<std::size_t>(region.width) + kRowMargin;
    blue_.assign(std::max(blue_.size(), room), 128);
  }
  const std::size_t row_bytes = static_cast<std::size_t>(region.width) * kChannels;
  for (int y = rows.begin; y < rows.end; ++y, out += row_bytes) {
    const std::uint8_t* luma = plane(0).row(y) + region.x - plane(0).first_x;
    const bool is_grey = num_planes() == 1;
    const std::uint8_t* blue = is_grey ? blue_.data() : ChromaOf(plane(1), region, y, &blue_);
    const std::uint8_t* red = is_grey ? blue_.data() : ChromaOf(plane(2), region, y, &red_);
    ConvertRow(kernels_, luma, blue, red, region.width, out);
  }
}

}  // namespace millrace::stages::region
