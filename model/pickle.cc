#include "model/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "base/error.h"

namespace millrace::model {

using Kind = PickleValue::Kind;

const PickleValue* PickleValue::Find(std::string_view name) const {
  for (const auto& [entry_name, value] : entries) {
    if (entry_name->is(Kind::kText) && entry_name->text == name) return value;
  }
  return nullptr;
}

std::vector<const PickleValue*> Pickle::storages() const {
  std::vector<const PickleValue*> list;
  for (const PickleValue& value : values_) {
    if (value.is(Kind::kStorage)) list.push_back(&value);
  }
  return list;
}

namespace {

// The stack machine. Values are made once and shared from then on, as in Python.
class PickleReader {
 public:
  PickleReader(std::string_view bytes, std::deque<PickleValue>& values)
      : bytes_(bytes), values_(values) {}

  const PickleValue* Run() {
    if (Byte() != 0x80) Fail("it does not begin as a pickle does");
    const int protocol = Byte();
    if (protocol < 2 || protocol > 5) Fail("it has protocol {}; known are 2 to 5", protocol);
    for (;;) {
      const auto code = static_cast<unsigned char>(Byte());
      if (code == '.') return Pop();
      Do(code);
    }
  }
  std::size_t position() const { return at_; }

 private:
  [[noreturn]] static void Damaged() { Fail("the pickle is cut or damaged"); }

  std::string_view Take(std::uint64_t size) {
    if (size > bytes_.size() - at_) Damaged();
    const std::string_view taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }
  int Byte() { return static_cast<unsigned char>(Take(1)[0]); }
  // A little-endian number of so many bytes.
  std::uint64_t Unsigned(std::size_t size) {
    std::uint64_t value = 0;
    const std::string_view taken = Take(size);
    for (std::size_t i = 0; i < size; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(taken[i])} << (8 * i);
    }
    return value;
  }
  std::string Line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) Damaged();
    const std::string line(Take(end - at_));
    Take(1);
    return line;
  }

  PickleValue* Make(Kind kind) {
    values_.emplace_back();
    values_.back().kind = kind;
    return &values_.back();
  }
  void Push(PickleValue* value) { stack_.push_back(value); }
  PickleValue* Pop() {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) Damaged();
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue* Top(Kind kind) {
    if (stack_.empty()) Damaged();
    if (!stack_.back()->is(kind)) Damaged();
    return stack_.back();
  }
  // What was pushed since the last mark.
  std::vector<PickleValue*> PopToMark() {
    if (marks_.empty() || marks_.back() > stack_.size()) Damaged();
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue*> taken(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return taken;
  }

  void PushInteger(std::int64_t value) {
    PickleValue* made = Make(Kind::kInteger);
    made->integer = value;
    Push(made);
  }
  void PushText(std::string_view text) {
    PickleValue* made = Make(Kind::kText);
    made->text = text;
    Push(made);
  }
  void PushBool(bool value) {
    PickleValue* made = Make(Kind::kBool);
    made->integer = value ? 1 : 0;
    Push(made);
  }
  void PushSequence(const std::vector<PickleValue*>& items) {
    PickleValue* made = Make(Kind::kSequence);
    made->items.assign(items.begin(), items.end());
    Push(made);
  }
  // The last `count` values as a tuple.
  void PushTuple(std::size_t count) {
    std::vector<PickleValue*> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = Pop();
    PushSequence(items);
  }
  void PushObject(const std::string& of_class) {
    PickleValue* made = Make(Kind::kObject);
    made->text = of_class;
    Push(made);
  }
  void PushClass(const std::string& module, const std::string& name) {
    PickleValue* made = Make(Kind::kClass);
    made->text = module + "." + name;
    Push(made);
  }
  void PushLong(std::uint64_t size) {
    if (size > 8) {
      Take(size);
      PushObject("int");
      return;
    }
    std::uint64_t value = Unsigned(static_cast<std::size_t>(size));
    const std::uint64_t unused_bits = 64 - 8 * size;
    // Its highest bit is the sign.
    PushInteger(size == 0 ? 0 : static_cast<std::int64_t>(value << unused_bits) >> unused_bits);
  }
  void PushReal() {
    const std::uint64_t bits = Unsigned(8);
    PickleValue* made = Make(Kind::kReal);
    std::uint64_t swapped = 0;  // big-endian, unlike all else
    for (int i = 0; i < 8; ++i) swapped |= ((bits >> (8 * i)) & 0xFF) << (8 * (7 - i));
    made->real = std::bit_cast<double>(swapped);
    Push(made);
  }

  void SetItems(const std::vector<PickleValue*>& pairs) {
    if (stack_.empty() || pairs.size() % 2 != 0) Damaged();
    PickleValue* dict = stack_.back();
    if (dict->is(Kind::kObject)) return;
    if (!dict->is(Kind::kDict)) Damaged();
    for (std::size_t i = 0; i < pairs.size(); i += 2)
      dict->entries.emplace_back(pairs[i], pairs[i + 1]);
  }
  void Append(const std::vector<PickleValue*>& items) {
    if (stack_.empty()) Damaged();
    PickleValue* list = stack_.back();
    if (list->is(Kind::kObject)) return;
    if (!list->is(Kind::kSequence)) Damaged();
    list->items.insert(list->items.end(), items.begin(), items.end());
  }

  void Remember(std::uint64_t number) {
    if (stack_.empty()) Damaged();
    memo_[number] = stack_.back();
  }
  void Recall(std::uint64_t number) {
    const auto found = memo_.find(number);
    if (found == memo_.end()) Damaged();
    Push(found->second);
  }

  // A storage: ("storage", class, key, device, elements).
  void PushPersistent() {
    const PickleValue* id = Pop();
    if (!id->is(Kind::kSequence) || id->items.size() < 5 || id->items[0]->text != "storage" ||
        !id->items[1]->is(Kind::kClass) || !id->items[2]->is(Kind::kText) ||
        !id->items[4]->is(Kind::kInteger)) {
      Damaged();
    }
    PickleValue* made = Make(Kind::kStorage);
    made->text = id->items[1]->text;
    made->key = id->items[2]->text;
    made->integer = id->items[4]->integer;
    Push(made);
  }

  static std::vector<std::int64_t> Integers(const PickleValue& list) {
    std::vector<std::int64_t> values;
    if (!list.is(Kind::kSequence)) Damaged();
    for (const PickleValue* item : list.items) {
      if (!item->is(Kind::kInteger)) Damaged();
      values.push_back(item->integer);
    }
    return values;
  }

  // What `function` returns for `arguments`.
  PickleValue* Call(const PickleValue& function, const PickleValue& arguments) {
    if (!arguments.is(Kind::kSequence)) Damaged();
    const auto& list = arguments.items;
    const std::string& name = function.text;
    if (name == "collections.OrderedDict") {
      PickleValue* made = Make(Kind::kDict);
      if (list.empty()) return made;
      for (const PickleValue* pair : list[0]->items) {
        if (pair->items.size() != 2) Damaged();
        made->entries.emplace_back(pair->items[0], pair->items[1]);
      }
      return made;
    }
    if (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor") {
      if (list.size() < 4 || !list[0]->is(Kind::kStorage) || !list[1]->is(Kind::kInteger))
        Damaged();
      PickleValue* made = Make(Kind::kTensor);
      made->storage = list[0];
      made->offset = list[1]->integer;
      made->sizes = Integers(*list[2]);
      made->strides = Integers(*list[3]);
      return made;
    }
    const bool is_parameter = name == "torch._utils._rebuild_parameter" ||
                              name == "torch._utils._rebuild_parameter_with_state";
    if (is_parameter && !list.empty() && list[0]->is(Kind::kTensor)) {
      PickleValue* made = Make(Kind::kTensor);
      *made = *list[0];
      return made;
    }
    // A tensor with attributes: (function, class, arguments, state).
    if (name == "torch._tensor._rebuild_from_type_v2" && list.size() >= 3 &&
        list[0]->is(Kind::kClass) && list[0]->text != name) {
      return Call(*list[0], *list[2]);
    }
    PickleValue* made = Make(Kind::kObject);
    made->text = name;
    return made;
  }
  void Reduce() {
    const PickleValue* arguments = Pop();
    const PickleValue* function = Pop();
    if (!function->is(Kind::kClass)) {
      PushObject(function->text);
      return;
    }
    Push(Call(*function, *arguments));
  }
  void MakeNew() {
    Pop();  // arguments
    const PickleValue* of = Pop();
    if (of->text == "collections.OrderedDict") {
      Push(Make(Kind::kDict));
    } else {
      PushObject(of->text);
    }
  }

  void Do(unsigned char code) {
    switch (code) {
      case '(':
        marks_.push_back(stack_.size());
        break;
      case '0':
        Pop();
        break;
      case '1':
        PopToMark();
        break;
      case '2':
        if (stack_.empty()) Damaged();
        Push(stack_.back());
        break;
      case 'N':
        Push(Make(Kind::kNone));
        break;
      case 0x88:
        PushBool(true);
        break;
      case 0x89:
        PushBool(false);
        break;
      case 'J':
        PushInteger(static_cast<std::int32_t>(Unsigned(4)));
        break;
      case 'K':
        PushInteger(static_cast<std::int64_t>(Unsigned(1)));
        break;
      case 'M':
        PushInteger(static_cast<std::int64_t>(Unsigned(2)));
        break;
      case 0x8a:
        PushLong(Unsigned(1));
        break;
      case 0x8b:
        PushLong(Unsigned(4));
        break;
      case 'G':
        PushReal();
        break;
      case 'X':
      case 'T':
      case 'B':
        PushText(Take(Unsigned(4)));
        break;
      case 0x8c:
      case 'U':
      case 'C':
        PushText(Take(Unsigned(1)));
        break;
      case 0x8d:
      case 0x8e:
      case 0x96:
        PushText(Take(Unsigned(8)));
        break;
      case ']':
      case 0x8f:
        Push(Make(Kind::kSequence));
        break;
      case 'a': {
        PickleValue* item = Pop();
        Append({item});
        break;
      }
      case 'e':
      case 0x90:
        Append(PopToMark());
        break;
      case 'l':
      case 't':
      case 0x91:
        PushSequence(PopToMark());
        break;
      case ')':
        PushSequence({});
        break;
      case 0x85:
        PushTuple(1);
        break;
      case 0x86:
        PushTuple(2);
        break;
      case 0x87:
        PushTuple(3);
        break;
      case '}':
        Push(Make(Kind::kDict));
        break;
      case 'd': {
        const std::vector<PickleValue*> pairs = PopToMark();
        Push(Make(Kind::kDict));
        SetItems(pairs);
        break;
      }
      case 's': {
        PickleValue* value = Pop();
        PickleValue* key = Pop();
        SetItems({key, value});
        break;
      }
      case 'u':
        SetItems(PopToMark());
        break;
      case 'c': {
        const std::string module = Line();
        PushClass(module, Line());
        break;
      }
      case 0x93: {
        const PickleValue* name = Pop();
        const PickleValue* module = Pop();
        PushClass(module->text, name->text);
        break;
      }
      case 'R':
        Reduce();
        break;
      case 'b':
        Pop();
        break;  // attributes, which no value here has
      case 0x81:
        MakeNew();
        break;
      case 0x92:
        Pop();  // named arguments
        MakeNew();
        break;
      case 'q':
        Remember(Unsigned(1));
        break;
      case 'r':
        Remember(Unsigned(4));
        break;
      case 0x94:
        Remember(memo_.size());
        break;
      case 'h':
        Recall(Unsigned(1));
        break;
      case 'j':
        Recall(Unsigned(4));
        break;
      case 'Q':
        PushPersistent();
        break;
      case 0x95:
        Unsigned(8);
        break;  // the size of what follows
      default:
        Fail("the pickle holds the operation {:#04x}, which is not known here", code);
    }
  }

  std::string_view bytes_;
  std::deque<PickleValue>& values_;
  std::size_t at_ = 0;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;  // sizes of the stack
  std::unordered_map<std::uint64_t, PickleValue*> memo_;
};

}  // namespace

Pickle::Pickle(std::string_view bytes) {
  PickleReader reader(bytes, values_);
  root_ = reader.Run();
  size_ = reader.position();
}

}  // namespace millrace::model
