// Crop, resize, window and flip of one picture in one pass over its pixels, written straight to
// where the batch wants them.
//
// Mode kPillow equals `image.crop(box).resize(size, BILINEAR)` of Pillow on 8-bit RGB byte for
// byte, mode kOpenCv `cv2.resize(image[box], size, interpolation=cv2.INTER_LINEAR)`; both followed
// by cutting out the window and the flips. A picture decoded at a smaller scale: as
// stages/geometry.h says, also byte for byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "stages/geometry.h"
#include "stages/image.h"
#include "stages/linear_table.h"
#include "stages/resample.h"
#include "stages/resample_table.h"
#include "stages/row_sink.h"

namespace millrace::stages {

// The part of the picture that the geometry's window depends on: what must be decoded, in pixels of
// the picture as it is decoded. Lies inside the crop.
Box SourceOf(const Geometry& geometry);

// What a resize does, in this order: pixels are rounded to 8 bits between the passes, so that their
// order shows in the result.
enum class ResizePasses : std::uint8_t {
  kNone,  // the window is copied
  kHorizontalFirst,
  kVerticalFirst,
  kLinear,  // of ResizeMode::kOpenCv: both together
};
ResizePasses PassesOf(const Geometry& geometry);

// Tables and rows that are used again from picture to picture, so that nothing is allocated once
// the largest has been seen. One per worker thread; one thread at a time.
class Resizer {
 public:
  explicit Resizer(Kernels kernels = Kernels::kSimd)
      : kernels_(kernels), horizontal_first_(kernels) {}

  // Writes geometry.window.height rows of geometry.window.width RGB pixels, `row_bytes` apart, and
  // nothing between or behind them. `source` holds the pixels of SourceOf(geometry).
  // REQUIRES: the geometry's boxes are not empty and inside of what they cut
  void Resize(const Geometry& geometry, const Image& source, std::uint8_t* out,
              std::size_t row_bytes);

  // The same of a source that comes row by row: they go into what this gives, valid until the next
  // call, and once the last is taken all is written. nullptr where the source is wanted as a whole.
  RowSink* Begin(const Geometry& geometry, std::uint8_t* out, std::size_t row_bytes);

 private:
  // Takes rows through the horizontal pass, and then through the vertical one as many as can be.
  class HorizontalFirst final : public RowSink {
   public:
    explicit HorizontalFirst(Kernels kernels) : kernels_(kernels) {}

    void Begin(const Geometry& geometry, std::uint8_t* out, std::size_t row_bytes);
    std::uint8_t* Room() override { return room_.data(); }
    void Take(int count) override { Take(room_.data(), count); }
    void Take(const std::uint8_t* rows, int count);

   private:
    std::uint8_t* ring_row(int y) {
      return ring_.data() + ring_row_bytes_ * static_cast<std::size_t>(y % ring_rows_);
    }
    void MakeOutput();

    const Kernels kernels_;
    ResampleTable along_x_;
    ResampleTable along_y_;
    std::size_t source_row_bytes_ = 0;
    std::vector<std::uint8_t> room_;  // of kRowsTogether rows of the source
    std::vector<std::uint8_t> ring_;  // of rows between the two passes
    std::size_t ring_row_bytes_ = 0;
    int ring_rows_ = 0;
    int made_ = 0;                           // rows out of the horizontal pass
    std::vector<const std::uint8_t*> taps_;  // rows that make one row of the vertical pass
    std::uint8_t* out_ = nullptr;            // the next row
    std::ptrdiff_t to_next_out_ = 0;         // [bytes]
    std::size_t out_bytes_ = 0;              // of a row
    int next_output_ = 0;
  };

  void Copy(const Geometry& geometry, const Image& source, std::uint8_t* out,
            std::size_t row_bytes) const;
  void VerticalFirst(const Geometry& geometry, const Image& source, std::uint8_t* out,
                     std::size_t row_bytes);
  void Linear(const Geometry& geometry, const Image& source, std::uint8_t* out,
              std::size_t row_bytes);
  // Makes room in scratch_ and taps_.
  void Reserve(std::size_t scratch_bytes, int taps);

  Kernels kernels_;
  HorizontalFirst horizontal_first_;
  ResampleTable along_x_;
  ResampleTable along_y_;
  LinearTable linear_x_{LinearEnds::kOfRow};
  LinearTable linear_y_{LinearEnds::kOfColumn};
  std::vector<std::int16_t> linear_rows_;  // between the two passes
  std::vector<int> linear_sources_;        // the source rows that some output row needs
  std::vector<std::uint8_t> scratch_;      // rows between the two passes
  std::vector<const std::uint8_t*> taps_;  // rows that make one row of the vertical pass
};

}  // namespace millrace::stages
