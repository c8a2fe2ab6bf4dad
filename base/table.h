// Components by the names that recipes give them: what a section's `name`, or an operation's `op`,
// may say.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/params.h"

namespace millrace {

// Makers by name, in the order in which they were added. Immutable once filled, and then for any
// number of threads.
template <typename Maker>
class Table {
 public:
  Table() = default;
  Table(std::initializer_list<std::pair<std::string, Maker>> entries) : entries_(entries) {}

  // REQUIRES: Find(name) == nullptr
  void Add(std::string name, Maker maker) { entries_.emplace_back(std::move(name), maker); }

  // nullptr where there is none of that name.
  const Maker* Find(std::string_view name) const {
    for (const auto& [known, maker] : entries_) {
      if (known == name) return &maker;
    }
    return nullptr;
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, maker] : entries_) names.push_back(name);
    return names;
  }

  // The one that `key` of `section` names. Throws Error (exit code 2) for another name, listing the
  // known ones.
  const Maker& Choose(const Params& section, std::string_view key,
                      const std::optional<std::string>& fallback = {}) const {
    return *Find(section.Choice(key, Names(), fallback));
  }

 private:
  std::vector<std::pair<std::string, Maker>> entries_;
};

}  // namespace millrace
