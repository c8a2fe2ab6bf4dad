#include "storage/sources/webdataset_label.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "base/format.h"
#include "storage/sources/class_id.h"

namespace millrace::storage {
namespace {

using Json = nlohmann::json;

// "n01440764", as WordNet numbers synsets.
bool IsWnid(std::string_view text) {
  constexpr std::size_t kBytes = 9;
  return text.size() == kBytes && text.front() == 'n' && IsNumber(text.substr(1));
}

std::string IdOfNumber(std::string_view digits, const ClassList& classes) {
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  constexpr std::size_t kDigits = 5;
  if (classes.ids.empty()) {
    if (digits.size() > kDigits) {
      Fail("the class number {} has more than {} digits; give the class ids with --classes", digits,
           kDigits);
    }
    return std::string(kDigits - digits.size(), '0').append(digits);
  }
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (code != std::errc() || number >= classes.ids.size()) {
    Fail("there is a class number {}, but {} lists {} classes, numbered from 0", digits,
         classes.origin, FormatCount(classes.ids.size()));
  }
  return classes.ids[number];
}

// The text of a member; "" when there is none.
std::string TextOf(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// The digits of a number, or the text, that a JSON gives as the class; "" when it gives none.
std::string LabelInJson(const Json& json) {
  for (const char* key : {"cls", "label", "class_id"}) {
    const auto found = json.find(key);
    if (found == json.end()) continue;
    if (found->is_number_integer()) return found->dump();
    if (found->is_string()) return found->get<std::string>();
  }
  return "";
}

// The id that a JSON states as a text; "" when it does not.
std::string IdInJson(const Json& json) {
  for (const char* key : {"wnid", "synset", "synset_id", "class_id"}) {
    std::string text = TextOf(json, key);
    if (!text.empty() && !IsNumber(text)) return text;
  }
  const std::string filename = TextOf(json, "filename");
  const std::string folder = filename.substr(0, filename.find('/'));
  return folder.size() < filename.size() && IsWnid(folder) ? folder : "";
}

}  // namespace

Result<std::string> WebdatasetClass(const WebdatasetLabel& label, const ClassList& classes) {
  Json json;
  if (label.json) {
    json = Json::parse(*label.json, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return Fault{"its .json is not JSON"};
  }
  std::string id = IdInJson(json);
  if (id.empty() && label.cls) id = Trim(*label.cls);
  if (id.empty()) id = LabelInJson(json);
  if (id.empty()) return Fault{"there is no class beside it, in a .cls or .json of the same name"};
  if (IsNumber(id)) return IdOfNumber(id, classes);
  // Test sets have -1.
  if (!IsClassId(id) || (id.front() == '-' && IsNumber(std::string_view(id).substr(1)))) {
    return Fault{"what it has for a class is no class id"};
  }
  return id;
}

}  // namespace millrace::storage
