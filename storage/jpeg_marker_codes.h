// The second bytes of JPEG's markers (ITU-T T.81, table B.1), for whoever reads or writes them
// without libjpeg.
#pragma once

namespace millrace::storage {

inline constexpr unsigned kSof0 = 0xC0;  // baseline
inline constexpr unsigned kSof1 = 0xC1;  // extended sequential
inline constexpr unsigned kDht = 0xC4;
inline constexpr unsigned kRst0 = 0xD0;  // up to RST7
inline constexpr unsigned kSoi = 0xD8;
inline constexpr unsigned kEoi = 0xD9;
inline constexpr unsigned kSos = 0xDA;
inline constexpr unsigned kDqt = 0xDB;
inline constexpr unsigned kDri = 0xDD;
inline constexpr unsigned kApp0 = 0xE0;  // up to APP15
inline constexpr unsigned kApp1 = 0xE1;
inline constexpr unsigned kApp14 = 0xEE;
inline constexpr unsigned kApp15 = 0xEF;
inline constexpr unsigned kCom = 0xFE;

}  // namespace millrace::storage
