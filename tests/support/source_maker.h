// ImageNet as it is distributed, made small: the official tars, the devkit and WebDataset tars from
// any list of pictures, the same bytes for the same list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::test {

// ---- tars ----

enum class TarEntryKind : std::uint8_t { kFile, kFolder, kHardLink, kSymbolicLink };

struct TarEntry {
  std::string name;              // any bytes
  std::vector<std::byte> bytes;  // of a file
  TarEntryKind kind = TarEntryKind::kFile;
  std::string target = {};  // of a link
};

// kUstar holds names of 100 bytes (255 with folders); the others hold any.
enum class TarStyle : std::uint8_t { kUstar, kPax, kGnu };

// A whole tar in memory, with its end mark, compressed if wanted.
std::vector<std::byte> MakeTar(std::span<const TarEntry> entries, TarStyle style = TarStyle::kUstar,
                               bool gzip = false);

// The 512 bytes of a header by themselves, for tars that no library would write. `type`: '0' a
// file, 'x' pax attributes, ...
std::vector<std::byte> MakeTarHeader(const std::string& name, std::uint64_t bytes, char type = '0');

std::vector<std::byte> Gzip(std::span<const std::byte> bytes);

// ---- the layouts of a list of pictures ----

struct MadePicture {
  std::string class_id;  // like "n01440764", which is what timm's WebDataset needs
  std::string name;      // "n01440764_18.JPEG": no folder; unique within its class
  std::vector<std::byte> bytes;
};

// `per_class` pictures, or rather a few bytes each that differ, of `classes` classes with ids like
// those of ImageNet; neither the ids nor the pictures are in any order.
std::vector<MadePicture> MakeSmallPictures(int classes, int per_class);

// The class ids of the pictures, sorted: the position is the class number.
std::vector<std::string> ClassIdsOf(std::span<const MadePicture> pictures);

// `<root>/<class id>/<name>`.
void MakeFolder(const std::filesystem::path& root, std::span<const MadePicture> pictures);

// ILSVRC2012_img_train.tar: "<class id>.tar" with the class's pictures, classes in the order in
// which they first occur.
std::vector<std::byte> MakeTrainTar(std::span<const MadePicture> pictures,
                                    TarStyle style = TarStyle::kGnu);

// ILSVRC2012_img_val.tar: picture i of the list is ILSVRC2012_val_<i + 1>.JPEG, with 8 digits. The
// last one comes first in the tar, so that only sorted names fit the labels.
std::vector<std::byte> MakeValTar(std::span<const MadePicture> pictures,
                                  TarStyle style = TarStyle::kGnu);

// ILSVRC2012_devkit_t12.tar.gz for that tar: meta.mat, in which the numbers of the classes do not
// go with the order of their ids and a few synsets have children, and the list of numbers.
std::vector<std::byte> MakeDevkit(std::span<const MadePicture> pictures);

// The two files of the devkit by themselves. A class's words are "words of <id>, and more".
std::vector<std::byte> MakeMetaMat(std::span<const MadePicture> pictures);
std::string MakeGroundTruth(std::span<const MadePicture> pictures);

// Kaggle's LOC_synset_mapping.txt: "<class id> <words>", sorted.
std::string MakeSynsetMapping(std::span<const MadePicture> pictures);

enum class WebdatasetStyle : std::uint8_t {
  kNumbers,  // 0000007.cls, a class number, and .jpg: what the webdataset project makes of ImageNet
  kTexts,    // the same with the class id in the .cls
  kTimm,     // n01440764_18.cls, a number, .jpg and .json with "filename": timm/imagenet-1k-wds
  kJson,     // .jpg and .json with "wnid"
};

// WebDataset tars, `tars` of them, to which the pictures are dealt in turn.
std::vector<std::vector<std::byte>> MakeWebdataset(std::span<const MadePicture> pictures,
                                                   WebdatasetStyle style, int tars,
                                                   bool gzip = false);

}  // namespace millrace::test
