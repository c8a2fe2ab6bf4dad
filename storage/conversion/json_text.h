// How the files of a conversion are written as JSON.
#pragma once

#include <charconv>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace millrace::storage {

using Json = nlohmann::ordered_json;

// File names may hold any bytes; what is not UTF-8 is shown as a replacement character.
inline std::string JsonText(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The number of 16 hexadecimal digits. Throws std::invalid_argument when it is none.
inline std::uint64_t HashFromHex(const std::string& text) {
  std::uint64_t hash = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (code != std::errc() || end != text.data() + text.size()) throw std::invalid_argument(text);
  return hash;
}

}  // namespace millrace::storage
