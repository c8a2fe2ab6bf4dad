// Bytes as tests hold them.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace millrace::test {

using Bytes = std::vector<std::byte>;

inline Bytes FromText(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

}  // namespace millrace::test
