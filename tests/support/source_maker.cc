#include "tests/support/source_maker.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <matio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>

#include "base/check.h"
#include "base/file.h"
#include "tests/support/tiny_images.h"

namespace millrace::test {
namespace {

// Inner nodes of the made tree of synsets.
constexpr int kParents = 3;

std::vector<std::byte> BytesOf(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

la_ssize_t Append(archive*, void* to, const void* bytes, std::size_t count) {
  const auto* begin = static_cast<const std::byte*>(bytes);
  auto& all = *static_cast<std::vector<std::byte>*>(to);
  all.insert(all.end(), begin, begin + count);
  return static_cast<la_ssize_t>(count);
}

// The ILSVRC2012_ID of each class, the last id first.
std::map<std::string, int> NumbersOf(const std::vector<std::string>& ids) {
  std::map<std::string, int> numbers;
  int next = static_cast<int>(ids.size());
  for (const auto& id : ids) numbers[id] = next--;
  return numbers;
}

std::string WordsOf(const std::string& id) { return "words of " + id + ", and more"; }

matvar_t* NumberVariable(double value) {
  std::array<std::size_t, 2> dims = {1, 1};
  return Mat_VarCreate(nullptr, MAT_C_DOUBLE, MAT_T_DOUBLE, 2, dims.data(), &value, 0);
}

// 16 bits per character, as MATLAB writes them.
matvar_t* TextVariable(const std::string& text) {
  std::vector<std::uint16_t> units(text.begin(), text.end());
  std::array<std::size_t, 2> dims = {1, units.size()};
  return Mat_VarCreate(nullptr, MAT_C_CHAR, MAT_T_UTF16, 2, dims.data(), units.data(), 0);
}

void SetSynset(matvar_t* synsets, std::size_t index, int number, const std::string& id,
               int children) {
  Mat_VarSetStructFieldByName(synsets, "ILSVRC2012_ID", index, NumberVariable(number));
  Mat_VarSetStructFieldByName(synsets, "WNID", index, TextVariable(id));
  Mat_VarSetStructFieldByName(synsets, "words", index, TextVariable(WordsOf(id)));
  Mat_VarSetStructFieldByName(synsets, "gloss", index, TextVariable("gloss of " + id));
  Mat_VarSetStructFieldByName(synsets, "num_children", index, NumberVariable(children));
}

}  // namespace

std::vector<std::byte> MakeTar(std::span<const TarEntry> entries, TarStyle style, bool gzip) {
  std::vector<std::byte> tar;
  const std::unique_ptr<archive, int (*)(archive*)> handle(archive_write_new(),
                                                           &archive_write_free);
  switch (style) {
    case TarStyle::kUstar:
      archive_write_set_format_ustar(handle.get());
      break;
    case TarStyle::kPax:
      archive_write_set_format_pax(handle.get());
      break;
    case TarStyle::kGnu:
      archive_write_set_format_gnutar(handle.get());
      break;
  }
  MILLRACE_CHECK(archive_write_open(handle.get(), &tar, nullptr, &Append, nullptr) == ARCHIVE_OK);
  for (const TarEntry& made : entries) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                         &archive_entry_free);
    archive_entry_set_pathname(entry.get(), made.name.c_str());
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), 1'340'000'000, 0);
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    switch (made.kind) {
      case TarEntryKind::kFile:
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(made.bytes.size()));
        break;
      case TarEntryKind::kFolder:
        archive_entry_set_filetype(entry.get(), AE_IFDIR);
        break;
      case TarEntryKind::kHardLink:
        archive_entry_set_hardlink(entry.get(), made.target.c_str());
        break;
      case TarEntryKind::kSymbolicLink:
        archive_entry_set_filetype(entry.get(), AE_IFLNK);
        archive_entry_set_symlink(entry.get(), made.target.c_str());
        break;
    }
    // A warning is about a name that cannot be converted; its bytes are written.
    MILLRACE_CHECK(archive_write_header(handle.get(), entry.get()) >= ARCHIVE_WARN);
    MILLRACE_CHECK(archive_write_data(handle.get(), made.bytes.data(), made.bytes.size()) ==
                   static_cast<la_ssize_t>(made.bytes.size()));
  }
  MILLRACE_CHECK(archive_write_close(handle.get()) == ARCHIVE_OK);
  return gzip ? Gzip(tar) : tar;
}

std::vector<std::byte> MakeTarHeader(const std::string& name, std::uint64_t bytes, char type) {
  constexpr std::size_t kSize = 124;
  constexpr std::size_t kChecksum = 148;
  constexpr std::size_t kType = 156;
  const std::array<TarEntry, 1> entries = {TarEntry{.name = name, .bytes = {}}};
  auto header = MakeTar(entries);
  header.resize(512);
  auto* text = reinterpret_cast<char*>(header.data());
  std::memcpy(text + kSize, fmt::format("{:011o}", bytes).c_str(), 12);
  text[kType] = type;
  std::memset(text + kChecksum, ' ', 8);
  unsigned sum = 0;
  for (const std::byte byte : header) sum += static_cast<unsigned>(byte);
  std::memcpy(text + kChecksum, fmt::format("{:06o}", sum).c_str(), 7);
  return header;
}

std::vector<std::byte> Gzip(std::span<const std::byte> bytes) {
  std::vector<std::byte> made;
  const std::unique_ptr<archive, int (*)(archive*)> handle(archive_write_new(),
                                                           &archive_write_free);
  const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                       &archive_entry_free);
  archive_write_set_format_raw(handle.get());
  archive_write_add_filter_gzip(handle.get());
  archive_write_set_filter_option(handle.get(), "gzip", "timestamp", nullptr);
  archive_write_set_bytes_in_last_block(handle.get(), 1);  // nothing behind the gzip
  MILLRACE_CHECK(archive_write_open(handle.get(), &made, nullptr, &Append, nullptr) == ARCHIVE_OK);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  MILLRACE_CHECK(archive_write_header(handle.get(), entry.get()) == ARCHIVE_OK);
  MILLRACE_CHECK(archive_write_data(handle.get(), bytes.data(), bytes.size()) ==
                 static_cast<la_ssize_t>(bytes.size()));
  MILLRACE_CHECK(archive_write_close(handle.get()) == ARCHIVE_OK);
  return made;
}

std::vector<MadePicture> MakeSmallPictures(int classes, int per_class) {
  std::vector<MadePicture> pictures;
  for (int i = 0; i < per_class; ++i) {
    for (int c = 0; c < classes; ++c) {
      const std::string id = fmt::format("n{:08}", 1440764 + (c * 1009 + 3) % classes * 1001);
      const std::string name = fmt::format("{}_{}.JPEG", id, (i * 13 + 5) % 97);
      const auto bytes = MakePixels(3 + c, 5 + i % 40, static_cast<std::uint64_t>(i * 1000 + c));
      const auto raw = std::as_bytes(std::span(bytes));
      pictures.push_back({.class_id = id, .name = name, .bytes = {raw.begin(), raw.end()}});
    }
  }
  return pictures;
}

std::vector<std::string> ClassIdsOf(std::span<const MadePicture> pictures) {
  std::vector<std::string> ids;
  for (const auto& picture : pictures) ids.push_back(picture.class_id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

void MakeFolder(const std::filesystem::path& root, std::span<const MadePicture> pictures) {
  for (const auto& picture : pictures) {
    WriteBytes(root / picture.class_id / picture.name, picture.bytes);
  }
}

std::vector<std::byte> MakeTrainTar(std::span<const MadePicture> pictures, TarStyle style) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<TarEntry>> classes;
  for (const auto& picture : pictures) {
    auto& entries = classes[picture.class_id];
    if (entries.empty()) order.push_back(picture.class_id);
    entries.push_back({.name = picture.name, .bytes = picture.bytes});
  }
  std::vector<TarEntry> tars;
  for (const auto& id : order) {
    tars.push_back({.name = id + ".tar", .bytes = MakeTar(classes[id], style)});
  }
  return MakeTar(tars, style);
}

std::vector<std::byte> MakeValTar(std::span<const MadePicture> pictures, TarStyle style) {
  std::vector<TarEntry> entries;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    entries.push_back(
        {.name = fmt::format("ILSVRC2012_val_{:08}.JPEG", i + 1), .bytes = pictures[i].bytes});
  }
  if (!entries.empty()) std::rotate(entries.begin(), entries.end() - 1, entries.end());
  return MakeTar(entries, style);
}

std::vector<std::byte> MakeDevkit(std::span<const MadePicture> pictures) {
  const std::string folder = "ILSVRC2012_devkit_t12/";
  const std::vector<TarEntry> entries = {
      {.name = folder, .bytes = {}, .kind = TarEntryKind::kFolder},
      {.name = folder + "readme.txt", .bytes = BytesOf("read me\n")},
      {.name = folder + "data/ILSVRC2012_validation_ground_truth.txt",
       .bytes = BytesOf(MakeGroundTruth(pictures))},
      {.name = folder + "data/meta.mat", .bytes = MakeMetaMat(pictures)},
  };
  return MakeTar(entries, TarStyle::kGnu, /*gzip=*/true);
}

std::vector<std::byte> MakeMetaMat(std::span<const MadePicture> pictures) {
  const auto ids = ClassIdsOf(pictures);
  std::array<const char*, 5> fields = {"ILSVRC2012_ID", "WNID", "words", "gloss", "num_children"};
  std::array<std::size_t, 2> dims = {ids.size() + kParents, 1};
  matvar_t* synsets = Mat_VarCreateStruct("synsets", 2, dims.data(), fields.data(), fields.size());
  MILLRACE_CHECK(synsets != nullptr);
  std::size_t index = 0;
  for (const auto& [id, number] : NumbersOf(ids)) SetSynset(synsets, index++, number, id, 0);
  for (int i = 0; i < kParents; ++i) {
    const int number = static_cast<int>(ids.size()) + 1 + i;
    SetSynset(synsets, index++, number, fmt::format("n9999999{}", i), 2 + i);
  }
  // matio writes into named files only.
  const int descriptor = ::memfd_create("meta.mat", MFD_CLOEXEC);
  const std::string path = fmt::format("/proc/self/fd/{}", descriptor);
  mat_t* file = Mat_CreateVer(path.c_str(), "MATLAB 5.0 MAT-file, made for a test", MAT_FT_MAT5);
  MILLRACE_CHECK(file != nullptr);
  MILLRACE_CHECK(Mat_VarWrite(file, synsets, MAT_COMPRESSION_ZLIB) == 0);
  Mat_Close(file);
  Mat_VarFree(synsets);
  const std::string text = ReadFile(path);
  ::close(descriptor);
  return BytesOf(text);
}

std::string MakeGroundTruth(std::span<const MadePicture> pictures) {
  const auto numbers = NumbersOf(ClassIdsOf(pictures));
  std::string text;
  for (const auto& picture : pictures) text += fmt::format("{}\n", numbers.at(picture.class_id));
  return text;
}

std::string MakeSynsetMapping(std::span<const MadePicture> pictures) {
  std::string text;
  for (const auto& id : ClassIdsOf(pictures)) text += id + " " + WordsOf(id) + "\n";
  return text;
}

std::vector<std::vector<std::byte>> MakeWebdataset(std::span<const MadePicture> pictures,
                                                   WebdatasetStyle style, int tars, bool gzip) {
  const auto ids = ClassIdsOf(pictures);
  std::vector<std::vector<TarEntry>> entries(static_cast<std::size_t>(tars));
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const MadePicture& picture = pictures[i];
    auto& tar = entries[i % entries.size()];
    const auto number = std::lower_bound(ids.begin(), ids.end(), picture.class_id) - ids.begin();
    const std::string key = style == WebdatasetStyle::kTimm
                                ? picture.name.substr(0, picture.name.rfind('.'))
                                : fmt::format("{:07}", i);
    // The webdataset project writes the files of a sample in the order of their extensions.
    if (style == WebdatasetStyle::kNumbers || style == WebdatasetStyle::kTimm) {
      tar.push_back({.name = key + ".cls", .bytes = BytesOf(fmt::format("{}", number))});
    } else if (style == WebdatasetStyle::kTexts) {
      tar.push_back({.name = key + ".cls", .bytes = BytesOf(picture.class_id + "\n")});
    }
    tar.push_back({.name = key + ".jpg", .bytes = picture.bytes});
    if (style == WebdatasetStyle::kTimm) {
      const std::string json =
          fmt::format(R"({{"filename": "{}/{}", "label": {}, "width": 500, "height": 375}})",
                      picture.class_id, picture.name, number);
      tar.push_back({.name = key + ".json", .bytes = BytesOf(json)});
    } else if (style == WebdatasetStyle::kJson) {
      const std::string json = fmt::format(R"({{"wnid": "{}"}})", picture.class_id);
      tar.push_back({.name = key + ".json", .bytes = BytesOf(json)});
    }
  }
  std::vector<std::vector<std::byte>> made;
  for (const auto& tar : entries) made.push_back(MakeTar(tar, TarStyle::kPax, gzip));
  return made;
}

}  // namespace millrace::test
