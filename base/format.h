// Numbers as people read them: bytes, durations and rates, for progress lines, tables and messages.
#pragma once

#include <cstdint>
#include <string>

namespace millrace {

// "812 B", "1.5 KiB", "3.2 GiB".
std::string FormatBytes(std::uint64_t bytes);

// "0.8 s", "42 s", "3m 07s", "2h 05m", "4d 03h"; "?" for what is not a duration (negative,
// infinite, NaN), as the time left at a rate of 0 is.
std::string FormatDuration(double seconds);

// Thousands separated by commas: "1,281,167".
std::string FormatCount(std::uint64_t count);

}  // namespace millrace
