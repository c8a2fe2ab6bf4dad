// The synsets of ImageNet's meta.mat: which class a number of the devkit means. The only place that
// knows matio.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace millrace::storage {

// A class, that is, a synset without children.
struct Synset {
  std::int64_t number = 0;  // ILSVRC2012_ID, from 1 on
  std::string id;           // WNID: "n01440764"
  std::string words;        // "tench, Tinca tinca"
};

// Reads the bytes of a meta.mat, a MATLAB 5 file with the struct array `synsets`; inner nodes of
// the tree (num_children > 0) are left out, as torchvision does. `origin` is what messages call it.
// Throws Error when it is something else, lacks a field, or names a number or an id twice.
std::vector<Synset> ParseSynsets(std::span<const std::byte> meta_mat, const std::string& origin);

}  // namespace millrace::storage
