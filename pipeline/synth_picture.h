// Pictures that are made up: of natural size and weight, each a pure function of (seed, split,
// class, number), with classes that a network can learn to tell apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace millrace::pipeline {

struct SynthTextures;

// Names one picture.
struct SynthKey {
  std::uint32_t split = 0;   // pictures of different splits are different
  std::uint32_t label = 0;   // its class
  std::uint32_t number = 0;  // within the class
};

// A picture has a background and a few shapes. Its class chooses the colours of both, the textures
// (waves of a direction and length) and the kind of shape; where they are, how large, how bright
// and how grainy is chosen for each picture. What the classes are depends on the seed alone.
//
// Only integers enter the pixels, so that they are the same on every machine.
class SynthPictures {
 public:
  // Makes the textures: 4 MB, some ten milliseconds.
  explicit SynthPictures(std::uint64_t seed);
  ~SynthPictures();
  SynthPictures(const SynthPictures&) = delete;
  SynthPictures& operator=(const SynthPictures&) = delete;

  // A JPEG: 4:4:4, 4:2:0 or gray in about ImageNet's proportions. Any thread.
  std::vector<std::byte> Make(const SynthKey& key) const;

 private:
  const std::uint64_t seed_;
  std::unique_ptr<const SynthTextures> textures_;
};

}  // namespace millrace::pipeline
