#include "base/build_info.h"

namespace millrace {

std::string_view BuildVersion() { return MILLRACE_VERSION; }

std::string_view BuildCommit() { return MILLRACE_COMMIT; }

}  // namespace millrace
