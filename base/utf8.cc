#include "base/utf8.h"

#include <cstddef>

namespace millrace {

bool IsUtf8(std::string_view text) {
  const auto byte = [text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  for (std::size_t at = 0; at < text.size();) {
    const unsigned char lead = byte(at++);
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return false;
    const std::size_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (text.size() - at < more) return false;
    const unsigned char least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(at) < least || byte(at) > most) return false;
    for (std::size_t i = 1; i < more; ++i) {
      if ((byte(at + i) & 0xC0) != 0x80) return false;
    }
    at += more;
  }
  return true;
}

}  // namespace millrace
