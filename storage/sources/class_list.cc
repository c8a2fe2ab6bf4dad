#include "storage/sources/class_list.h"

#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "storage/sources/class_id.h"
#include "storage/sources/text_lines.h"

namespace millrace::storage {

ClassList ReadClassList(const std::filesystem::path& path) {
  ClassList list;
  list.origin = path.string();
  for (const std::string& line : ReadLines(path)) {
    const std::size_t number = list.ids.size() + 1;
    const std::size_t blank = line.find_first_of(" \t");
    std::string id = line.substr(0, blank);
    if (!IsClassId(id)) {
      Fail("{}, line {}: no class id; lines are expected as \"n01440764 tench, Tinca tinca\"",
           list.origin, number);
    }
    std::string name(blank == std::string::npos ? "" : Trim(line.substr(blank)));
    if (!IsUtf8(name)) Fail("{}, line {}: the name is not UTF-8", list.origin, number);
    if (name.empty()) name = id;
    if (!list.names.emplace(id, std::move(name)).second) {
      Fail("{}, line {}: the class \"{}\" is there twice", list.origin, number, id);
    }
    list.ids.push_back(std::move(id));
  }
  if (list.ids.empty()) Fail("{} lists no classes", list.origin);
  return list;
}

}  // namespace millrace::storage
