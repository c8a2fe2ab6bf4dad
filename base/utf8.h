// Whether bytes are UTF-8: what JSON, and so the manifest, demands of texts.
#pragma once

#include <string_view>

namespace millrace {

// Whether the bytes are UTF-8 as JSON demands it: no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);

}  // namespace millrace
