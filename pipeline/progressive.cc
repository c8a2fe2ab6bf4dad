#include "pipeline/progressive.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "stages/ops/size_setting.h"

namespace millrace::pipeline {
namespace {

constexpr std::int64_t kDefaultStep = 32;  // FFCV's
constexpr std::int64_t kMostEpochs = std::numeric_limits<std::int32_t>::max();

}  // namespace

Progressive ReadProgressive(const Params& section) {
  Progressive progressive{
      .from = static_cast<int>(section.IntegerIn("from", 1, stages::kLongestSide)),
      .begin_epoch = static_cast<std::uint32_t>(section.IntegerIn("begin_epoch", 0, kMostEpochs)),
      .end_epoch = static_cast<std::uint32_t>(section.IntegerIn("end_epoch", 0, kMostEpochs)),
      .step = static_cast<int>(section.IntegerIn("step", 1, stages::kLongestSide, kDefaultStep)),
      .section = section};
  if (progressive.begin_epoch >= progressive.end_epoch) {
    section.Blame("end_epoch",
                  fmt::format("is {}; it must come after begin_epoch = {}. Pictures have their "
                              "first size up to begin_epoch and their last from end_epoch on",
                              progressive.end_epoch, progressive.begin_epoch));
  }
  if (progressive.from % progressive.step != 0) {
    section.Blame("from", fmt::format("is {}, which is not a multiple of step = {}",
                                      progressive.from, progressive.step));
  }
  return progressive;
}

void CheckProgressive(const Progressive& progressive, stages::Size largest) {
  const Params& section = progressive.section;
  if (largest.width != largest.height) {
    section.Blame("from",
                  fmt::format("is a side of squares, but ops make pictures of {} x {} pixels",
                              largest.width, largest.height));
  }
  if (progressive.from >= largest.width) {
    section.Blame("from", fmt::format("is {}; it must be less than the {} pixels of ops, to which "
                                      "pictures grow",
                                      progressive.from, largest.width));
  }
  if (largest.width % progressive.step != 0) {
    section.Blame("step", fmt::format("is {}, of which the {} pixels of ops are not a multiple",
                                      progressive.step, largest.width));
  }
}

int SideInEpoch(const Progressive& progressive, int largest, std::uint32_t epoch) {
  if (epoch <= progressive.begin_epoch) return progressive.from;
  if (epoch >= progressive.end_epoch) return largest;
  // In numpy.interp's order of operations.
  const double slope = static_cast<double>(largest - progressive.from) /
                       static_cast<double>(progressive.end_epoch - progressive.begin_epoch);
  const double side =
      slope * static_cast<double>(epoch - progressive.begin_epoch) + progressive.from;
  return static_cast<int>(std::nearbyint(side / progressive.step)) * progressive.step;
}

}  // namespace millrace::pipeline
