#include "pipeline/placement.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace millrace::pipeline {
namespace {

using Get = std::function<const char*(const char*)>;

// An empty value counts as none: scripts set variables so to switch them off.
std::optional<std::string> Text(const Get& get, const char* name) {
  const char* text = get(name);
  if (text == nullptr || *text == '\0') return {};
  return text;
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

std::uint32_t Needed(const Get& get, const char* name, const char* beside) {
  const auto text = Text(get, name);
  if (!text) FailUsage("{} is set, but {} is not", beside, name);
  const auto number = ParseNumber<std::uint32_t>(*text);
  if (!number) FailUsage("{} is \"{}\", which is no number", name, *text);
  return *number;
}

// "host:port"; the host may be an IPv6 address in brackets.
void ReadMaster(const std::string& text, Placement& placement) {
  const auto colon = text.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : ParseNumber<std::uint16_t>(std::string_view(text).substr(colon + 1));
  if (!port || *port == 0 || colon == 0) {
    FailUsage("MILLRACE_MASTER is \"{}\"; write host:port, as in node1:29500", text);
  }
  placement.master_address = text.substr(0, colon);
  placement.master_port = *port;
}

Placement FromOwn(const Get& get) {
  Placement placement;
  placement.source = "millrace launch";
  placement.process = Needed(get, "MILLRACE_PROCESS", "MILLRACE_PROCESSES");
  placement.num_processes = Needed(get, "MILLRACE_PROCESSES", "MILLRACE_PROCESS");
  placement.local_process = Needed(get, "MILLRACE_LOCAL_PROCESS", "MILLRACE_PROCESS");
  placement.num_local_processes = Needed(get, "MILLRACE_LOCAL_PROCESSES", "MILLRACE_PROCESS");
  placement.run_id = Text(get, "MILLRACE_RUN_ID").value_or("");
  const auto store = Text(get, "MILLRACE_STORE");
  const auto master = Text(get, "MILLRACE_MASTER");
  if (store && master) {
    FailUsage("MILLRACE_STORE and MILLRACE_MASTER are both set; processes meet in one place only");
  }
  if (store) placement.store_file = *store;
  if (master) ReadMaster(*master, placement);
  if (!store && !master && placement.num_processes > 1) {
    FailUsage(
        "MILLRACE_PROCESSES is {}, but neither MILLRACE_STORE nor MILLRACE_MASTER says where the "
        "processes meet",
        placement.num_processes);
  }
  return placement;
}

void RefuseImpossible(const Placement& placement) {
  if (placement.process >= placement.num_processes) {
    FailUsage("{}: there is no process {} of {}; they are counted from 0", placement.source,
              placement.process, placement.num_processes);
  }
  if (placement.local_process >= placement.num_local_processes) {
    FailUsage("{}: there is no process {} of {} on this machine; they are counted from 0",
              placement.source, placement.local_process, placement.num_local_processes);
  }
  if (placement.num_local_processes > placement.num_processes) {
    FailUsage("{}: {} processes on this machine, but {} in the whole run", placement.source,
              placement.num_local_processes, placement.num_processes);
  }
}

}  // namespace

Placement PlacementFromEnvironment(const Get& get) {
  Placement placement;
  if (Text(get, "MILLRACE_PROCESS") || Text(get, "MILLRACE_PROCESSES")) placement = FromOwn(get);
  RefuseImpossible(placement);
  return placement;
}

}  // namespace millrace::pipeline
