#include "tracking/hocon.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace millrace::tracking {
namespace {

constexpr std::string_view kLong = R"(""")";  // around a text with line breaks

std::string Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

class Reader {
 public:
  Reader(std::string_view text, std::string (*variable)(const std::string&))
      : rest_(text), variable_(variable) {}

  std::map<std::string, std::string> Read() {
    while (SkipToToken()) {
      if (Takes('}')) {
        if (!sections_.empty()) sections_.pop_back();
        continue;
      }
      if (Takes('{')) {  // around the whole file
        sections_.emplace_back();
        continue;
      }
      ReadMember();
    }
    return std::move(values_);
  }

 private:
  bool Starts(std::string_view what) const { return rest_.starts_with(what); }
  bool Takes(char what) {
    if (rest_.empty() || rest_.front() != what) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void SkipLine() { rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size())); }
  void SkipBlanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r"), rest_.size()));
  }

  bool AtComment() const { return Starts("#") || Starts("//"); }

  bool SkipToToken() {
    for (;;) {
      rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n,"), rest_.size()));
      if (!AtComment()) return !rest_.empty();
      SkipLine();
    }
  }

  // From an opening quote on; JSON's escapes.
  std::string TakeQuoted() {
    if (Starts(kLong)) {
      const std::size_t end = std::min(rest_.find(kLong, 3), rest_.size());
      std::string text(rest_.substr(3, end - 3));
      rest_.remove_prefix(std::min(end + 3, rest_.size()));
      return text;
    }
    std::size_t end = 1;
    while (end < rest_.size() && rest_[end] != '"' && rest_[end] != '\n') {
      end += rest_[end] == '\\' ? 2 : 1;
    }
    end = std::min(end + 1, rest_.size());
    const std::string_view quoted = rest_.substr(0, end);
    rest_.remove_prefix(end);
    const auto json = nlohmann::json::parse(quoted, nullptr, /*allow_exceptions=*/false);
    return json.is_string() ? json.get<std::string>() : "";
  }

  std::string TakeKey() {
    std::string key;
    while (!rest_.empty() &&
           std::string_view(":={}[],\n").find(rest_.front()) == std::string_view::npos) {
      if (rest_.front() == '"') {
        key += TakeQuoted();
      } else {
        key.push_back(rest_.front());
        rest_.remove_prefix(1);
      }
    }
    return Trim(key);
  }

  // A list, or what is in braces in one: up to the bracket that closes it.
  void SkipList() {
    int depth = 0;
    while (!rest_.empty()) {
      if (rest_.front() == '"') {
        (void)TakeQuoted();
        continue;
      }
      if (AtComment()) {
        SkipLine();
        continue;
      }
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '[') ++depth;
      if (c == ']' && --depth == 0) return;
    }
  }

  std::string Value(const std::string& name) const {
    const auto at = values_.find(name);
    return at != values_.end() ? at->second : variable_(name);
  }

  // Parts of a value stand beside each other up to the end of the line; false: it is not set, as a
  // variable that is not there.
  bool TakeValue(std::string* value) {
    bool set = false;
    std::string plain;
    const auto add_plain = [&] {
      const std::string text = Trim(std::exchange(plain, ""));
      set = set || !text.empty();
      *value += text;
    };
    while (!rest_.empty() &&
           std::string_view(",}\n").find(rest_.front()) == std::string_view::npos && !AtComment()) {
      if (rest_.front() == '"') {
        add_plain();
        *value += TakeQuoted();
        set = true;
      } else if (Starts("${")) {
        add_plain();
        const std::size_t end = std::min(rest_.find('}'), rest_.size());
        std::string_view name = rest_.substr(2, end - 2);
        if (name.starts_with('?')) name.remove_prefix(1);
        const std::string found = Value(Trim(name));
        set = set || !found.empty();
        *value += found;
        rest_.remove_prefix(std::min(end + 1, rest_.size()));
      } else {
        plain.push_back(rest_.front());
        rest_.remove_prefix(1);
        // An address holds "//", which begins no comment there.
        if (plain.ends_with(':') && Starts("//")) {
          plain += "//";
          rest_.remove_prefix(2);
        }
      }
    }
    add_plain();
    return set;
  }

  void ReadMember() {
    const std::string key = TakeKey();
    SkipBlanks();
    if (Takes('{')) {
      sections_.push_back(key);
      return;
    }
    if (Starts("[")) {
      SkipList();
      return;
    }
    if (!Takes(':') && !Takes('=')) {
      if (!rest_.empty()) rest_.remove_prefix(1);
      return;
    }
    SkipBlanks();
    if (Takes('{')) {
      sections_.push_back(key);
    } else if (Starts("[")) {
      SkipList();
    } else {
      std::string value;
      if (TakeValue(&value)) values_[Name(key)] = value;
    }
  }

  std::string Name(const std::string& key) const {
    std::string name;
    for (const std::string& section : sections_) {
      if (!section.empty()) name += section + ".";
    }
    return name + key;
  }

  std::string_view rest_;
  std::string (*const variable_)(const std::string&);
  std::vector<std::string> sections_;
  std::map<std::string, std::string> values_;
};

}  // namespace

std::map<std::string, std::string> ReadHocon(std::string_view text,
                                             std::string (*variable)(const std::string& name)) {
  return Reader(text, variable).Read();
}

}  // namespace millrace::tracking
