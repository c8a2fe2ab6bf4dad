#include "model/pytorch_file.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "model/pickle.h"

namespace millrace::model {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kArchive = "PK\x03\x04";
// What every file of the older format begins with: a pickle of the number 0x1950a86a20f9469cfc6c.
constexpr std::string_view kOldFormat("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 15);
// Pickles alone begin like this.
constexpr std::string_view kPickle = "\x80";

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 9> kTypes = {{
    {"torch.FloatStorage", at::kFloat},
    {"torch.DoubleStorage", at::kDouble},
    {"torch.HalfStorage", at::kHalf},
    {"torch.BFloat16Storage", at::kBFloat16},
    {"torch.LongStorage", at::kLong},
    {"torch.IntStorage", at::kInt},
    {"torch.ByteStorage", at::kByte},
    {"torch.CharStorage", at::kChar},
    {"torch.BoolStorage", at::kBool},
}};

constexpr std::array<std::string_view, 4> kParts = {"state_dict_ema", "model_ema", "state_dict",
                                                    "model"};

// The elements of a storage, as a flat tensor.
using ReadStorage = std::function<at::Tensor(const PickleValue& storage)>;

at::ScalarType TypeOf(const PickleValue& storage) {
  for (const auto& [name, type] : kTypes) {
    if (storage.text == name) return type;
  }
  Fail("it holds a {}, which is not known here", storage.text);
}

// Shapes and strides come from the file: whatever lies outside of the storage is damage.
void RequireInside(const PickleValue& tensor, std::int64_t elements) {
  bool fits = tensor.offset >= 0 && tensor.offset <= elements &&
              tensor.sizes.size() == tensor.strides.size();
  std::int64_t left = elements - tensor.offset - 1;  // behind the first element
  bool empty = false;
  for (std::size_t i = 0; fits && i < tensor.sizes.size(); ++i) {
    const std::int64_t size = tensor.sizes[i];
    const std::int64_t stride = tensor.strides[i];
    fits = size >= 0 && stride >= 0;
    empty = empty || size == 0;
    if (!fits || size <= 1 || stride == 0) continue;
    fits = size - 1 <= std::max<std::int64_t>(left, 0) / stride;
    left -= (size - 1) * stride;
  }
  if (!fits || (!empty && left < 0)) Fail("it is damaged: a tensor lies outside of its storage");
}

bool HasTensors(const PickleValue& dict) {
  return std::any_of(dict.entries.begin(), dict.entries.end(),
                     [](const auto& entry) { return entry.second->is(Kind::kTensor); });
}

struct FoundState {
  const PickleValue* dict = nullptr;
  std::string part;
};

FoundState FindState(const PickleValue& root) {
  if (root.is(Kind::kObject)) {
    Fail(
        "it holds an object of {} instead of its weights; save those: "
        "torch.save(model.state_dict(), FILE)",
        root.text);
  }
  if (!root.is(Kind::kDict)) Fail("it holds no state dict");
  for (const std::string_view part : kParts) {
    const PickleValue* inner = root.Find(part);
    if (inner != nullptr && inner->is(Kind::kDict) && HasTensors(*inner)) {
      return {.dict = inner, .part = std::string(part)};
    }
  }
  if (HasTensors(root)) return {.dict = &root, .part = ""};
  Fail(
      "it holds no state dict, neither alone nor as \"state_dict_ema\", \"model_ema\", "
      "\"state_dict\" or \"model\"; save one: torch.save(model.state_dict(), FILE)");
}

// Takes off what stands in front of all names.
void TakeOff(std::string_view prefix, std::vector<NamedTensor>& tensors) {
  const bool all = std::all_of(tensors.begin(), tensors.end(),
                               [&](const auto& entry) { return entry.name.starts_with(prefix); });
  if (!all) return;
  for (NamedTensor& entry : tensors) entry.name.erase(0, prefix.size());
}

std::vector<NamedTensor> TensorsOf(const PickleValue& dict, const ReadStorage& read) {
  std::unordered_map<std::string, at::Tensor> storages;
  std::vector<NamedTensor> tensors;
  for (const auto& [name, value] : dict.entries) {
    if (!name->is(Kind::kText) || !value->is(Kind::kTensor)) continue;
    // Counts of a torch.optim.swa_utils.AveragedModel.
    if (name->text == "n_averaged") continue;
    auto [at, is_new] = storages.try_emplace(value->storage->key);
    if (is_new) at->second = read(*value->storage);
    RequireInside(*value, at->second.numel());
    tensors.push_back(
        {name->text, at->second.as_strided(value->sizes, value->strides, value->offset)
                         .clone(at::MemoryFormat::Contiguous)});
  }
  for (const char* prefix : {"module.", "_orig_mod.", "module."}) TakeOff(prefix, tensors);
  return tensors;
}

at::Tensor OverBytes(std::string_view bytes, const PickleValue& storage) {
  const at::ScalarType type = TypeOf(storage);
  const auto size = static_cast<std::int64_t>(c10::elementSize(type));
  if (storage.integer < 0 || storage.integer > static_cast<std::int64_t>(bytes.size()) / size) {
    Fail("it is cut or damaged: a storage is shorter than it should be");
  }
  at::Tensor tensor = at::empty({storage.integer}, type);
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(),
              static_cast<std::size_t>(storage.integer * size));
  return tensor;
}

PyTorchState ReadArchive(const std::filesystem::path& path) {
  caffe2::serialize::PyTorchStreamReader reader(path.string());
  if (reader.hasRecord("constants.pkl")) {
    Fail("it is a TorchScript module: name it as model.torchscript");
  }
  const auto record = [&](const std::string& name) {
    auto [data, size] = reader.getRecord(name);
    return std::pair(std::move(data), size);
  };
  const auto [program, program_size] = record("data.pkl");
  if (reader.hasRecord("byteorder")) {
    const auto [order, size] = record("byteorder");
    if (std::string_view(static_cast<const char*>(order.get()), size) != "little") {
      Fail("it was written on a machine of another byte order");
    }
  }
  const Pickle pickle({static_cast<const char*>(program.get()), program_size});
  const FoundState found = FindState(pickle.root());
  return {.tensors =
              TensorsOf(*found.dict,
                        [&](const PickleValue& storage) {
                          const auto [data, size] = record("data/" + storage.key);
                          return OverBytes({static_cast<const char*>(data.get()), size}, storage);
                        }),
          .part = found.part};
}

// Five pickles (a number, a version, a system's properties, the object, the keys of its storages),
// then each storage with its size in front.
PyTorchState ReadOldFormat(const std::filesystem::path& path) {
  const std::string file = ReadFile(path);
  std::string_view rest = file;
  const auto next = [&] {
    auto pickle = std::make_unique<Pickle>(rest);
    rest.remove_prefix(pickle->size());
    return pickle;
  };
  for (int i = 0; i < 3; ++i) next();
  const auto object = next();
  const FoundState found = FindState(object->root());
  const auto keys = next();
  // How long an element of each is, only what names them says.
  std::unordered_map<std::string_view, const PickleValue*> named;
  for (const PickleValue* storage : object->storages()) named.emplace(storage->key, storage);
  std::unordered_map<std::string, std::string_view> bytes;
  for (const PickleValue* key : keys->root().items) {
    const auto storage = named.find(key->text);
    std::uint64_t elements = 0;
    if (storage == named.end() || rest.size() < sizeof(elements)) Fail("it is cut or damaged");
    std::memcpy(&elements, rest.data(), sizeof(elements));
    rest.remove_prefix(sizeof(elements));
    const std::size_t element = c10::elementSize(TypeOf(*storage->second));
    if (elements > rest.size() / element) Fail("it is cut or damaged");
    bytes[key->text] = rest.substr(0, elements * element);
    rest.remove_prefix(elements * element);
  }
  return {.tensors = TensorsOf(
              *found.dict,
              [&](const PickleValue& storage) { return OverBytes(bytes[storage.key], storage); }),
          .part = found.part};
}

std::string FirstBytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(kOldFormat.size(), '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

}  // namespace

bool IsPyTorchFile(const std::filesystem::path& path) {
  const std::string begin = FirstBytes(path);
  // safetensors begin with the length of their header, a number with any bytes, and its brace.
  constexpr std::size_t kLength = 8;
  if (begin.size() > kLength && begin[kLength] == '{') return false;
  return begin.starts_with(kArchive) || begin.starts_with(kPickle);
}

PyTorchState ReadPyTorchFile(const std::filesystem::path& path) {
  try {
    const std::string begin = FirstBytes(path);
    if (begin.starts_with(kArchive)) return ReadArchive(path);
    if (begin.starts_with(kOldFormat)) return ReadOldFormat(path);
    Fail("it is a pickle, but none that torch.save wrote");
  } catch (const Error& error) {
    throw error.Within(fmt::format("{}: cannot take weights from it", path.string()));
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    Fail("{}: cannot take weights from it: it is cut or damaged ({})", path.string(),
         text.substr(0, text.find('\n')));
  }
}

}  // namespace millrace::model
