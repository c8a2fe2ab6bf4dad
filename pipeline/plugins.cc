#include "pipeline/plugins.h"

#include <dlfcn.h>

#include <fmt/format.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "pipeline/plugin.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::json;
using Register = void (*)(Registry& registry);

constexpr std::string_view kMark = MILLRACE_PLUGIN_ABI_MARK;
constexpr std::string_view kOurs = std::string_view(MILLRACE_PLUGIN_ABI).substr(kMark.size());

std::string Entry(const std::string& where, std::size_t number) {
  return fmt::format("{}[{}]", where, number);
}

Plugin PinPlugin(const Json& entry, const std::string& where) {
  const auto is_text = [&](const char* key) {
    return entry.contains(key) && entry[key].is_string();
  };
  const bool pinned =
      entry.is_object() && entry.size() == 2 && is_text("file") && is_text("sha256");
  if (!entry.is_string() && !pinned) {
    FailUsage(
        "{}: is {}; it must be the path of a plugin, or {{ file, sha256 }} with the hash that "
        "it must have",
        where, entry.dump());
  }
  Plugin plugin{.file = pinned ? entry["file"].get<std::string>() : entry.get<std::string>(),
                .sha256 = {}};
  // Runs keep it as text.
  if (!IsUtf8(plugin.file.string())) {
    FailUsage("{}: {}: the path of a plugin must be UTF-8 text", where,
              Printable(plugin.file.string()));
  }
  std::error_code code;
  if (!std::filesystem::is_regular_file(plugin.file, code)) {
    FailUsage("{}: there is no plugin {}; build it, or remove the entry", where,
              plugin.file.string());
  }
  plugin.sha256 = Sha256OfFile(plugin.file);
  if (pinned && entry["sha256"] != plugin.sha256) {
    FailUsage(
        "{}: {} is another file than the one that was meant: its SHA-256 is {}, not {}; give "
        "its path alone to take it as it is",
        where, plugin.file.string(), plugin.sha256, entry["sha256"].get<std::string>());
  }
  return plugin;
}

// What the file says it was built for; empty when it says nothing.
std::string BuiltFor(const std::filesystem::path& file) {
  const std::string bytes = ReadFile(file);
  const std::size_t mark = bytes.find(kMark);
  if (mark == std::string::npos) return {};
  const std::size_t begin = mark + kMark.size();
  return bytes.substr(begin, bytes.find('\0', begin) - begin);
}

void LoadPlugin(const std::filesystem::path& file, Components* components) {
  const std::string theirs = BuiltFor(file);
  if (theirs.empty()) FailUsage("is no plugin: it was built without MILLRACE_PLUGIN");
  if (theirs != kOurs) {
    FailUsage("was built for {}; this program is {}: build it again, with this program's package",
              theirs, kOurs);
  }
  void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) FailUsage("cannot be loaded: {}", ::dlerror());
  const auto add = reinterpret_cast<Register>(::dlsym(library, "millrace_plugin_register"));
  if (add == nullptr) FailUsage("is no plugin: {}", ::dlerror());
  Registry registry(components);
  add(registry);
}

}  // namespace

std::string Plugin::Text() const { return fmt::format("{} {}", file.filename().string(), sha256); }

std::vector<Plugin> PinPlugins(Json* list, const std::string& where) {
  if (!list->is_array()) {
    FailUsage("{}: is {}; it must be a list of paths in quotes", where, list->dump());
  }
  std::vector<Plugin> plugins;
  for (Json& entry : *list) {
    plugins.push_back(PinPlugin(entry, Entry(where, plugins.size())));
    entry = {{"file", plugins.back().file.string()}, {"sha256", plugins.back().sha256}};
  }
  return plugins;
}

std::shared_ptr<const Components> LoadPlugins(const std::vector<Plugin>& plugins,
                                              const std::string& where) {
  if (plugins.empty()) return BuiltInComponents();
  auto components = std::make_shared<Components>(*BuiltInComponents());
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    const std::string file = plugins[i].file.string();
    try {
      LoadPlugin(plugins[i].file, components.get());
    } catch (const Error& error) {
      throw error.Within(fmt::format("{}: {}", Entry(where, i), file));
    } catch (const std::exception& error) {
      FailUsage("{}: {}: {}", Entry(where, i), file, error.what());
    }
  }
  return components;
}

}  // namespace millrace::pipeline
