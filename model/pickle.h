// Python's pickles as plain data: what `torch.save` writes is read without running anything.
//
// A pickle is a program for a stack machine that may call any function of Python. Here it gets
// containers, numbers, texts, and tensors where PyTorch's functions rebuild them; whatever else it
// wants to make becomes an object of which only the class is known. Protocols 2 to 5
// (https://github.com/python/cpython/blob/main/Lib/pickletools.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::model {

struct PickleValue {
  enum class Kind : std::uint8_t {
    kNone,
    kBool,
    kInteger,
    kReal,
    kText,      // bytes too
    kSequence,  // a list, a tuple or a set
    kDict,
    kClass,    // or a function
    kObject,   // of a class that this does not know
    kStorage,  // the memory of tensors
    kTensor,
  };
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;  // kBool too; numbers of more than 64 bits are kObject
  double real = 0;
  std::string text;  // of kClass and kObject the class, "collections.OrderedDict"
  std::vector<const PickleValue*> items;
  std::vector<std::pair<const PickleValue*, const PickleValue*>> entries;  // of kDict, in order

  // kStorage: `text` is its class ("torch.FloatStorage"), `key` names it in the file, `integer` is
  // its size [elements]. kTensor: `storage`, and how it lies there.
  std::string key;
  const PickleValue* storage = nullptr;
  std::int64_t offset = 0;  // [elements]
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;  // [elements]

  bool is(Kind of) const { return kind == of; }
  // Of kDict, under a text; nullptr: none.
  const PickleValue* Find(std::string_view name) const;
};

// A pickle's root, which lives as long as this does.
class Pickle {
 public:
  // Reads one pickle from the beginning of `bytes`. Throws Error, without naming the file, when it
  // is damaged or of another protocol.
  explicit Pickle(std::string_view bytes);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleValue& root() const { return *root_; }
  std::size_t size() const { return size_; }  // of the pickle [bytes]
  // All that it names.
  std::vector<const PickleValue*> storages() const;

 private:
  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace millrace::model
