// convert_victim FROM TO SHARDS JOBS KILL_AFTER: converts FROM into TO and kills itself at
// the KILL_AFTER'th sign of progress (0: never). Exit code 0 when the conversion is complete.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "pipeline/convert.h"

int main(int count, char** arguments) {
  if (count != 6) return 2;
  const auto number = [&](int i) { return std::strtoul(arguments[i], nullptr, 10); };
  const auto kill_after = number(5);
  unsigned long calls = 0;
  try {
    millrace::pipeline::Convert({.sources = {arguments[1]},
                                 .to = arguments[2],
                                 .shards = static_cast<std::uint32_t>(number(3)),
                                 .seed = 7,
                                 .jobs = static_cast<int>(number(4))},
                                [&](const millrace::pipeline::ConvertProgress&) {
                                  if (++calls == kill_after) ::kill(::getpid(), SIGKILL);
                                });
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
