// Reads configuration files in HOCON, as clearml.conf is one.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace millrace::tracking {

// The texts in `text` under their dotted names ("api.credentials.access_key"); later ones win. What
// is in lists is left out, and so are lines that are no HOCON: a file that others read well must
// never end a run. "${NAME}" and "${?NAME}" are what `variable(NAME)` returns where no setting has
// that name. JSON is HOCON, too.
std::map<std::string, std::string> ReadHocon(std::string_view text,
                                             std::string (*variable)(const std::string& name));

}  // namespace millrace::tracking
