// Samples with what a network said of them, side by side in one picture.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tracking/event.h"

namespace millrace::tracking {

// A class with its probability.
struct Guess {
  std::string name;  // UTF-8; where it is too long its end is left out
  double probability = 0;
};

// One sample. Both guesses are empty where the network had no answer.
struct Prediction {
  std::uint64_t sample = 0;  // its id
  Guess said;                // the most probable class
  Guess next;                // the next one; empty: there is none
  Guess truth;               // the sample's own
  bool right = false;
  double loss = 0;
  std::vector<std::uint8_t> pixels;  // uint8 [height, width, 3] RGB of the sheet's picture size
};

// Draws the predictions in their order, six in a row: each picture in a frame, green with a tick
// where the network was right and red with a cross where it was not, under it what it said, what it
// said next and the truth, with their probabilities, and the sample's id with its loss. Small
// pictures are shown larger, pixel by pixel. `name` and `step` are the event's. `width` and
// `height` [pixels] are those of every picture. Throws Error. REQUIRES: there is a prediction
Picture DrawPredictions(std::string name, std::uint64_t step, std::uint32_t width,
                        std::uint32_t height, std::span<const Prediction> predictions);

}  // namespace millrace::tracking
