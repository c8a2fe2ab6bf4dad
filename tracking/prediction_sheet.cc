#include "tracking/prediction_sheet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "tracking/canvas.h"
#include "tracking/lettering.h"
#include "tracking/png.h"

namespace millrace::tracking {
namespace {

constexpr Color kBackground{255, 255, 255};
constexpr Color kInk{32, 32, 32};
constexpr Color kPaleInk{112, 112, 112};
// Far apart in brightness too, for eyes that take green for red.
constexpr Color kRight{0, 140, 60};
constexpr Color kWrong{214, 20, 30};

constexpr int kColumns = 6;
constexpr int kTextSize = 13;    // [pixels], as are all that follow
constexpr int kLeastSide = 160;  // of a picture: room for a name and a number
constexpr int kFrame = 4;
constexpr int kGap = 12;
constexpr int kCaptionGap = 4;
constexpr int kTextGap = 6;  // between a name and its number

// What a cell says below its picture.
struct Line {
  std::string mark;
  std::string name;
  std::string number;  // at the right edge
  Color color = kInk;
};

std::string Probability(const Guess& guess) { return fmt::format("{:.2f}", guess.probability); }

std::vector<Line> Caption(const Prediction& prediction) {
  const bool answered = !prediction.said.name.empty();
  const bool has_next = !prediction.next.name.empty();
  return {
      {.mark = prediction.right ? "\u2713 " : "\u2717 ",
       .name = answered ? prediction.said.name : "no answer (NaN)",
       .number = answered ? Probability(prediction.said) : "",
       .color = prediction.right ? kRight : kWrong},
      {.mark = has_next ? "next: " : "",
       .name = prediction.next.name,
       .number = has_next ? Probability(prediction.next) : "",
       .color = kPaleInk},
      {.mark = "is: ",
       .name = prediction.truth.name,
       .number = answered ? Probability(prediction.truth) : "",
       .color = kInk},
      {.mark = "",
       .name = fmt::format("#{}", prediction.sample),
       .number = fmt::format("loss {:.2f}", prediction.loss),
       .color = kPaleInk},
  };
}

class Sheet {
 public:
  Sheet(int width, int height, int count)
      : width_(width),
        height_(height),
        scale_(std::max(1, (kLeastSide + width - 1) / width)),
        lines_(static_cast<int>(Caption({}).size())),
        cell_width_(scale_ * width + 2 * kFrame),
        cell_height_(scale_ * height + 2 * kFrame + kCaptionGap +
                     lines_ * lettering_.line_height()),
        columns_(std::min(count, kColumns)),
        canvas_(kGap + columns_ * (cell_width_ + kGap),
                kGap + (count + columns_ - 1) / columns_ * (cell_height_ + kGap), kBackground) {}

  void Draw(int index, const Prediction& prediction) {
    const int left = kGap + index % columns_ * (cell_width_ + kGap);
    int top = kGap + index / columns_ * (cell_height_ + kGap);
    canvas_.Fill(left, top, cell_width_, scale_ * height_ + 2 * kFrame,
                 prediction.right ? kRight : kWrong);
    DrawPixels(left + kFrame, top + kFrame, prediction.pixels);
    top += scale_ * height_ + 2 * kFrame + kCaptionGap;
    for (const Line& line : Caption(prediction)) {
      DrawLine(left, top, line);
      top += lettering_.line_height();
    }
  }

  const Canvas& canvas() const { return canvas_; }

 private:
  void DrawPixels(int left, int top, std::span<const std::uint8_t> pixels) {
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const std::uint8_t* pixel = pixels.data() + 3 * (std::ptrdiff_t{y} * width_ + x);
        canvas_.Fill(left + scale_ * x, top + scale_ * y, scale_, scale_,
                     {pixel[0], pixel[1], pixel[2]});
      }
    }
  }

  void DrawLine(int left, int top, const Line& line) {
    const int number_width = lettering_.Width(line.number);
    lettering_.Draw(canvas_, left + cell_width_ - number_width, top, line.number, line.color);
    const int room = cell_width_ - (number_width > 0 ? number_width + kTextGap : 0);
    const int mark_width = lettering_.Width(line.mark);
    lettering_.Draw(canvas_, left, top, line.mark, line.color);
    lettering_.Draw(canvas_, left + mark_width, top, lettering_.Fit(line.name, room - mark_width),
                    line.color);
  }

  const Lettering lettering_{kTextSize};
  const int width_;
  const int height_;
  const int scale_;
  const int lines_;
  const int cell_width_;
  const int cell_height_;
  const int columns_;
  Canvas canvas_;
};

}  // namespace

Picture DrawPredictions(std::string name, std::uint64_t step, std::uint32_t width,
                        std::uint32_t height, std::span<const Prediction> predictions) {
  MILLRACE_CHECK(!predictions.empty());
  Sheet sheet(static_cast<int>(width), static_cast<int>(height),
              static_cast<int>(predictions.size()));
  for (int index = 0; const Prediction& prediction : predictions) {
    MILLRACE_CHECK(prediction.pixels.size() == std::size_t{3} * width * height);
    sheet.Draw(index++, prediction);
  }
  const auto sheet_width = static_cast<std::uint32_t>(sheet.canvas().width());
  const auto sheet_height = static_cast<std::uint32_t>(sheet.canvas().height());
  return {.name = std::move(name),
          .step = step,
          .width = sheet_width,
          .height = sheet_height,
          .png = EncodePng(sheet_width, sheet_height, sheet.canvas().pixels())};
}

}  // namespace millrace::tracking
