#include "storage/sources/class_id.h"

#include <algorithm>

#include "base/utf8.h"

namespace millrace::storage {

bool IsClassId(std::string_view text) {
  constexpr std::size_t kMaxBytes = 255;
  return !text.empty() && text.size() <= kMaxBytes && text != "." && text != ".." && IsUtf8(text) &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return c == '/' || c == '\x7F' || (c >= 0 && c < ' '); });
}

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

}  // namespace millrace::storage
