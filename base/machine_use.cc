#include "base/machine_use.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace millrace {
namespace {

namespace fs = std::filesystem;

bool Exists(const fs::path& path) {
  std::error_code code;
  return fs::exists(path, code);
}

// "cpu  USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...": what guests have is in USER and NICE.
std::optional<MachineUse::Cpu> ReadCpu(const fs::path& path) {
  std::ifstream file(path);
  std::string name;
  std::array<std::uint64_t, 8> times{};
  if (!(file >> name) || name != "cpu") return std::nullopt;
  for (std::uint64_t& time : times) {
    if (!(file >> time)) return std::nullopt;
  }
  MachineUse::Cpu cpu;
  for (const std::uint64_t time : times) cpu.ticks += time;
  cpu.busy = cpu.ticks - times[3] - times[4];
  return cpu;
}

// "MemTotal:  24684100 kB"
std::optional<MachineUse::Memory> ReadMemory(const fs::path& path) {
  std::ifstream file(path);
  MachineUse::Memory memory;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kibibytes = 0;
    if (!(words >> name >> kibibytes)) continue;
    if (name == "MemTotal:") memory.total = kibibytes << 10;
    if (name == "MemAvailable:") memory.available = std::min(kibibytes << 10, memory.total);
  }
  if (memory.total == 0) return std::nullopt;
  return memory;
}

// "MAJOR MINOR NAME READS MERGED SECTORS MS WRITES MERGED SECTORS ...". Partitions and what is made
// of other devices (RAID, encryption, loops) have no device of their own.
std::optional<MachineUse::Traffic> ReadDisks(const fs::path& path, const fs::path& devices) {
  constexpr std::uint64_t kSectorBytes = 512;  // whatever the disk's own is
  std::ifstream file(path);
  std::optional<MachineUse::Traffic> disks;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::array<std::uint64_t, 2> number{};
    std::array<std::uint64_t, 7> counts{};
    if (!(words >> number[0] >> number[1] >> name)) continue;
    for (std::uint64_t& count : counts) words >> count;
    if (!words) continue;
    std::replace(name.begin(), name.end(), '/', '!');  // as a folder's name has it
    if (!Exists(devices / name / "device")) continue;
    if (!disks) disks = MachineUse::Traffic{};
    disks->in += counts[2] * kSectorBytes;
    disks->out += counts[6] * kSectorBytes;
  }
  return disks;
}

// "  NAME: RECEIVED PACKETS and 6 others SENT ...". What is part of another interface (of a bridge,
// of a bond) is counted there.
std::optional<MachineUse::Traffic> ReadNetwork(const fs::path& path, const fs::path& interfaces) {
  std::ifstream file(path);
  std::optional<MachineUse::Traffic> network;
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name;
    std::istringstream(line.substr(0, colon)) >> name;
    std::istringstream words(line.substr(colon + 1));
    std::array<std::uint64_t, 9> counts{};
    for (std::uint64_t& count : counts) words >> count;
    if (!words || name == "lo" || Exists(interfaces / name / "master")) continue;
    if (!network) network = MachineUse::Traffic{};
    network->in += counts[0];
    network->out += counts[8];
  }
  return network;
}

}  // namespace

MachineUse ReadMachineUse(const fs::path& root) {
  return {.cpu = ReadCpu(root / "proc/stat"),
          .memory = ReadMemory(root / "proc/meminfo"),
          .disks = ReadDisks(root / "proc/diskstats", root / "sys/block"),
          .network = ReadNetwork(root / "proc/net/dev", root / "sys/class/net")};
}

}  // namespace millrace
