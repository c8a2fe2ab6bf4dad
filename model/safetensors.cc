#include "model/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace millrace::model {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little,
              "tensors are copied to and from the file as they lie in memory");

// The reference implementation's limit; real headers stay far below.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::string_view kMetadataKey = "__metadata__";

struct TypeName {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array kTypes = {
    TypeName{"F64", at::kDouble},    TypeName{"F32", at::kFloat}, TypeName{"F16", at::kHalf},
    TypeName{"BF16", at::kBFloat16}, TypeName{"I64", at::kLong},  TypeName{"I32", at::kInt},
    TypeName{"U8", at::kByte},       TypeName{"BOOL", at::kBool},
};

const TypeName* FindType(std::string_view name) {
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.name == name; });
  return found == kTypes.end() ? nullptr : &*found;
}

std::string_view NameOf(at::ScalarType type) {
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.type == type; });
  return found == kTypes.end() ? std::string_view() : found->name;
}

// One tensor as the header describes it, consistent in itself.
struct Entry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // [bytes] from the start of the data
  std::uint64_t end = 0;
};

// Reads one file; all messages name it.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path.string()), file_(path) {}

  TensorFile Read() {
    const std::span<const std::byte> bytes = file_.bytes();
    if (bytes.size() < sizeof(std::uint64_t)) {
      Fail("{}: not a safetensors file: only {} bytes", path_, bytes.size());
    }
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    if (header_bytes > kMaxHeaderBytes) {
      Fail("{}: not a safetensors file: its first 8 bytes promise a header of {} bytes", path_,
           header_bytes);
    }
    if (header_bytes > bytes.size() - sizeof(header_bytes)) {
      Fail("{}: the file is cut: its header of {} bytes does not fit into the {} bytes there",
           path_, header_bytes, bytes.size());
    }
    const auto header = bytes.subspan(sizeof(header_bytes), header_bytes);
    data_ = bytes.subspan(sizeof(header_bytes) + header_bytes);
    const Json json = ParseHeader(header);

    TensorFile result;
    std::vector<Entry> entries;
    for (const auto& [name, value] : json.items()) {
      if (name == kMetadataKey) {
        result.metadata = ParseMetadata(value);
      } else {
        entries.push_back(ParseEntry(name, value));
      }
    }
    CheckCover(entries);
    for (Entry& entry : entries) result.tensors.push_back(Copy(std::move(entry)));
    return result;
  }

 private:
  Json ParseHeader(std::span<const std::byte> header) const {
    // JSON itself lets a name stand twice, and the parser would keep one of the two.
    std::string twice;
    std::vector<std::set<std::string>> names(1);  // of the objects that are open, by depth
    const auto callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
      const auto level = static_cast<std::size_t>(depth);
      if (event == Json::parse_event_t::object_start) {
        names.resize(std::max(names.size(), level + 2));
        names[level + 1].clear();
      } else if (event == Json::parse_event_t::key) {
        const auto name = parsed.get<std::string>();
        if (!names[level].insert(name).second && twice.empty()) twice = name;
      }
      return true;
    };
    const auto* text = reinterpret_cast<const char*>(header.data());
    Json json = Json::parse(text, text + header.size(), callback, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      Fail("{}: not a safetensors file: its header is not a JSON object", path_);
    }
    if (!twice.empty()) Fail("{}: damaged header: \"{}\" stands there twice", path_, twice);
    return json;
  }

  std::map<std::string, std::string> ParseMetadata(const Json& value) const {
    std::map<std::string, std::string> metadata;
    if (!value.is_object()) Fail("{}: damaged header: {} is not an object", path_, kMetadataKey);
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) Fail("{}: damaged header: metadata \"{}\" is not a text", path_, key);
      metadata.emplace(key, text.get<std::string>());
    }
    return metadata;
  }

  Entry ParseEntry(const std::string& name, const Json& value) const {
    const auto blame = [&](std::string_view problem) {
      Fail("{}: damaged header: tensor \"{}\" {}", path_, name, problem);
    };
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets")) {
      blame("is not described by dtype, shape and data_offsets");
    }
    Entry entry;
    entry.name = name;
    const Json& dtype = value["dtype"];
    const TypeName* type = dtype.is_string() ? FindType(dtype.get<std::string>()) : nullptr;
    if (type == nullptr) {
      Fail("{}: tensor \"{}\" has the type {}, which is not read here", path_, name, dtype.dump());
    }
    entry.type = type->type;

    // The product of all sizes but zeros must fit: [0, 2^63] would be no tensor either.
    std::int64_t product = static_cast<std::int64_t>(c10::elementSize(entry.type));
    bool empty = false;
    const Json& shape = value["shape"];
    if (!shape.is_array()) blame("has no list as its shape");
    for (const Json& size : shape) {
      if (!size.is_number_unsigned()) blame("has a size that is not a whole number");
      const auto extent = size.get<std::uint64_t>();
      empty = empty || extent == 0;
      if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ||
          (extent != 0 &&
           __builtin_mul_overflow(product, static_cast<std::int64_t>(extent), &product))) {
        blame("has an impossible size");
      }
      entry.shape.push_back(static_cast<std::int64_t>(extent));
    }
    const Json& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      blame("has no pair of data_offsets");
    }
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    const std::uint64_t needed = empty ? 0 : static_cast<std::uint64_t>(product);
    if (entry.begin > entry.end || entry.end - entry.begin != needed) {
      blame(fmt::format("needs {} bytes, but its offsets are [{}, {}]", needed, entry.begin,
                        entry.end));
    }
    return entry;
  }

  // Sorts the entries by their place and demands that together they are the data, each byte once.
  void CheckCover(std::vector<Entry>& entries) const {
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t place = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != place) {
        Fail("{}: damaged header: tensor \"{}\" starts at byte {} of the data; {} was expected",
             path_, entry.name, entry.begin, place);
      }
      if (entry.end > data_.size()) {
        Fail("{}: the file is cut: tensor \"{}\" ends at byte {} of the data, {} are there", path_,
             entry.name, entry.end, data_.size());
      }
      place = entry.end;
    }
    if (place != data_.size()) {
      Fail("{}: damaged: {} bytes after the last tensor", path_, data_.size() - place);
    }
  }

  NamedTensor Copy(Entry entry) const {
    at::Tensor tensor = at::empty(entry.shape, entry.type);
    const auto source = data_.subspan(entry.begin, entry.end - entry.begin);
    if (!source.empty()) std::memcpy(tensor.mutable_data_ptr(), source.data(), source.size());
    return {std::move(entry.name), std::move(tensor)};
  }

  std::string path_;
  MappedFile file_;
  std::span<const std::byte> data_;
};

std::span<const std::byte> Bytes(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace

std::string AsUtf8(const std::string& text) {
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace))
      .get<std::string>();
}

TensorFile ReadSafetensors(const std::filesystem::path& path) { return Reader(path).Read(); }

void WriteSafetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<NamedTensor> ordered(tensors.begin(), tensors.end());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return a.tensor.element_size() > b.tensor.element_size();
  });

  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header[std::string(kMetadataKey)] = metadata;
  std::uint64_t place = 0;
  for (const NamedTensor& entry : ordered) {
    const std::string_view type = NameOf(entry.tensor.scalar_type());
    if (type.empty()) {
      Fail("{}: tensor \"{}\" is of type {}, which is not written here", path.string(), entry.name,
           c10::toString(entry.tensor.scalar_type()));
    }
    if (entry.name == kMetadataKey || header.contains(entry.name)) {
      Fail("{}: two tensors would be called \"{}\"", path.string(), entry.name);
    }
    const std::uint64_t end = place + entry.tensor.nbytes();
    header[entry.name] = {
        {"dtype", type}, {"shape", entry.tensor.sizes().vec()}, {"data_offsets", {place, end}}};
    place = end;
  }
  std::string text = header.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const auto header_bytes = static_cast<std::uint64_t>(text.size());

  AtomicFile file(path);
  file.Write(std::as_bytes(std::span(&header_bytes, 1)));
  file.Write(text);
  for (const NamedTensor& entry : ordered) {
    file.Write(Bytes(entry.tensor.detach().to(at::kCPU).contiguous()));
  }
  file.Commit();
}

}  // namespace millrace::model
