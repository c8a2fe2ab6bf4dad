// Class ids as texts: what may be one, and what is a class number instead.
#pragma once

#include <string>
#include <string_view>

namespace millrace::storage {

// Whether the text can be a class id, and so a folder's name and a text of the manifest: UTF-8,
// 1 to 255 bytes, no slash and no control characters, not "." or "..".
bool IsClassId(std::string_view text);

// Whether it is made of digits only, and so a class number rather than an id.
bool IsNumber(std::string_view text);

// The text without blanks and line ends around it.
std::string_view Trim(std::string_view text);

}  // namespace millrace::storage
