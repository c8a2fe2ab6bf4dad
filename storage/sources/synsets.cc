#include "storage/sources/synsets.h"

#include <matio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/utf8.h"
#include "storage/sources/class_id.h"

namespace millrace::storage {
namespace {

// ImageNet's has 1,860; all of WordNet has fewer than this.
constexpr std::size_t kMaxSynsets = 200'000;

struct MatCloser {
  void operator()(mat_t* file) const { Mat_Close(file); }
};
struct VariableFreer {
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};

// matio reads from a named file only: a file in memory with a name, which goes with the process.
class MemoryFile {
 public:
  MemoryFile(std::span<const std::byte> bytes, const std::string& origin)
      : descriptor_(::memfd_create("millrace-meta-mat", MFD_CLOEXEC)) {
    while (descriptor_ >= 0 && !bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count < 0) break;
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    if (descriptor_ < 0 || !bytes.empty()) {
      const std::string reason = std::generic_category().message(errno);
      if (descriptor_ >= 0) ::close(descriptor_);
      Fail("{}: no memory to read it: {}", origin, reason);
    }
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

template <typename T>
std::optional<double> First(const matvar_t& variable) {
  if (variable.nbytes < sizeof(T)) return std::nullopt;
  return static_cast<double>(*static_cast<const T*>(variable.data));
}

// A number of whatever type; MATLAB writes doubles, scipy what numpy made of them.
std::optional<std::int64_t> NumberOf(const matvar_t* variable) {
  if (variable == nullptr || variable->data == nullptr) return std::nullopt;
  std::optional<double> value;
  switch (variable->class_type) {
    case MAT_C_DOUBLE:
      value = First<double>(*variable);
      break;
    case MAT_C_SINGLE:
      value = First<float>(*variable);
      break;
    case MAT_C_INT8:
      value = First<std::int8_t>(*variable);
      break;
    case MAT_C_UINT8:
      value = First<std::uint8_t>(*variable);
      break;
    case MAT_C_INT16:
      value = First<std::int16_t>(*variable);
      break;
    case MAT_C_UINT16:
      value = First<std::uint16_t>(*variable);
      break;
    case MAT_C_INT32:
      value = First<std::int32_t>(*variable);
      break;
    case MAT_C_UINT32:
      value = First<std::uint32_t>(*variable);
      break;
    case MAT_C_INT64:
      value = First<std::int64_t>(*variable);
      break;
    case MAT_C_UINT64:
      value = First<std::uint64_t>(*variable);
      break;
    default:
      break;
  }
  constexpr double kMost = 1e9;
  if (!value || !(*value >= 0 && *value <= kMost) || *value != std::floor(*value)) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(*value);
}

void AppendUtf8(std::uint32_t code, std::string& text) {
  const auto append = [&text](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    append(code);
  } else if (code < 0x800) {
    append(0xC0 | code >> 6);
    append(0x80 | (code & 0x3F));
  } else {
    append(0xE0 | (code >> 12 & 0x0F));
    append(0x80 | (code >> 6 & 0x3F));
    append(0x80 | (code & 0x3F));
  }
}

// A text as UTF-8. What is stored in bytes is UTF-8 or else Latin-1, what is stored in 16 bits is
// of the basic plane, as all words of WordNet are.
std::optional<std::string> TextOf(const matvar_t* variable) {
  if (variable == nullptr || variable->class_type != MAT_C_CHAR) return std::nullopt;
  std::string text;
  if (variable->data == nullptr || variable->nbytes == 0) return text;
  if (variable->data_type == MAT_T_UINT16 || variable->data_type == MAT_T_UTF16) {
    const auto* units = static_cast<const std::uint16_t*>(variable->data);
    for (std::size_t i = 0; i < variable->nbytes / 2; ++i) AppendUtf8(units[i], text);
    return IsUtf8(text) ? std::optional(text) : std::nullopt;
  }
  if (variable->data_type != MAT_T_UINT8 && variable->data_type != MAT_T_INT8 &&
      variable->data_type != MAT_T_UTF8) {
    return std::nullopt;
  }
  const std::string_view bytes(static_cast<const char*>(variable->data), variable->nbytes);
  if (IsUtf8(bytes)) return std::string(bytes);
  for (const char byte : bytes) AppendUtf8(static_cast<unsigned char>(byte), text);
  return text;
}

// Gives the fields of one struct of the array `synsets`.
class SynsetReader {
 public:
  SynsetReader(matvar_t* synsets, const std::string& origin) : synsets_(synsets), origin_(origin) {}

  std::int64_t Number(const char* field, std::size_t index) const {
    const auto number = NumberOf(Mat_VarGetStructFieldByName(synsets_, field, index));
    if (!number) FailField(field, index, "a whole number");
    return *number;
  }

  std::string Text(const char* field, std::size_t index) const {
    const auto text = TextOf(Mat_VarGetStructFieldByName(synsets_, field, index));
    if (!text) FailField(field, index, "a text");
    return *text;
  }

 private:
  [[noreturn]] void FailField(const char* field, std::size_t index, const char* what) const {
    Fail("{}: the field {} of synset {} is not {}; is it the meta.mat of ILSVRC2012_devkit_t12?",
         origin_, field, index + 1, what);
  }

  matvar_t* synsets_;
  const std::string& origin_;
};

}  // namespace

std::vector<Synset> ParseSynsets(std::span<const std::byte> meta_mat, const std::string& origin) {
  const MemoryFile memory(meta_mat, origin);
  const std::unique_ptr<mat_t, MatCloser> file(Mat_Open(memory.path().c_str(), MAT_ACC_RDONLY));
  if (!file) Fail("{} is not a MATLAB file", origin);
  const std::unique_ptr<matvar_t, VariableFreer> variable(Mat_VarRead(file.get(), "synsets"));
  if (!variable || variable->class_type != MAT_C_STRUCT || variable->rank < 1) {
    Fail("{} has no struct array \"synsets\"; is it the meta.mat of ILSVRC2012_devkit_t12?",
         origin);
  }
  std::size_t count = 1;
  for (int i = 0; i < variable->rank; ++i) {
    count *= variable->dims[i];
    if (count > kMaxSynsets) Fail("{} has more than {} synsets", origin, kMaxSynsets);
  }
  const SynsetReader reader(variable.get(), origin);
  std::vector<Synset> synsets;
  std::set<std::int64_t> numbers;
  std::set<std::string> ids;
  for (std::size_t i = 0; i < count; ++i) {
    if (reader.Number("num_children", i) > 0) continue;
    Synset synset{.number = reader.Number("ILSVRC2012_ID", i),
                  .id = reader.Text("WNID", i),
                  .words = reader.Text("words", i)};
    if (!IsClassId(synset.id)) Fail("{}: the WNID of synset {} is no class id", origin, i + 1);
    if (!numbers.insert(synset.number).second || !ids.insert(synset.id).second) {
      Fail("{}: the synset {} with the number {} is there twice", origin, synset.id, synset.number);
    }
    synsets.push_back(std::move(synset));
  }
  if (synsets.empty()) Fail("{} has no synset without children", origin);
  return synsets;
}

}  // namespace millrace::storage
