// MILLRACE_CHECK, for our own bugs: never for input, which is answered with an Error or a Result.
#pragma once

#include <cstdio>
#include <cstdlib>

// Aborts with file and line when `condition` does not hold, in every build type.
#define MILLRACE_CHECK(condition)                                                             \
  do {                                                                                        \
    if (!(condition)) [[unlikely]] {                                                          \
      static_cast<void>(                                                                      \
          std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition)); \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)
