// Bytes as UTF-8 text: what JSON, and so the manifest, demands of texts, and what people get to see
// of names that may hold anything.
#pragma once

#include <string>
#include <string_view>

namespace millrace {

// Whether the bytes are UTF-8 as JSON demands it: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);

// The text as a terminal or a page may show it: each control character, line breaks included, and
// each byte that is not UTF-8 is replaced by U+FFFD.
std::string Printable(std::string_view text);

}  // namespace millrace
