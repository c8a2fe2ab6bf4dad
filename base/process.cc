#include "base/process.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>

namespace millrace {
namespace {

// Cores that the control group's quota (cgroup v2 cpu.max: "quota period") allows; 0: no limit
// known.
int QuotaCores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || !(period > 0)) return 0;
  return static_cast<int>(std::ceil(std::stod(quota) / period));
}

}  // namespace

ResidentMemory ReadResidentMemory() {
  ResidentMemory memory;
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    // "RssAnon:     123456 kB"
    std::istringstream words(line);
    std::string name;
    std::uint64_t kibibytes = 0;
    if (!(words >> name >> kibibytes)) continue;
    if (name == "RssAnon:") memory.anonymous = kibibytes << 10;
    if (name == "RssShmem:") memory.shared = kibibytes << 10;
    if (name == "RssFile:") memory.files = kibibytes << 10;
  }
  return memory;
}

std::uint64_t MemoryLimit() {
  const auto machine = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::ifstream groups("/proc/self/cgroup");
  return std::min(machine, MemoryLimitOfGroups(groups, "/sys/fs/cgroup"));
}

std::uint64_t MemoryLimitOfGroups(std::istream& groups, const std::filesystem::path& folder) {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  // "0::/a/b" (version 2), "4:memory:/a/b" (version 1). In a container the process may see its own
  // group as the root, wherever it says that it is.
  std::string line;
  while (std::getline(groups, line)) {
    const std::size_t name = line.find(':');
    const std::size_t path = line.find(":/");
    if (path == std::string::npos) continue;
    const bool is_second = line.starts_with("0::/");
    if (!is_second && line.substr(name, path - name) != ":memory") continue;
    const std::filesystem::path root = is_second ? folder : folder / "memory";
    const char* const file = is_second ? "memory.max" : "memory.limit_in_bytes";
    for (std::filesystem::path group = line.substr(path + 2);; group = group.parent_path()) {
      std::uint64_t limit = 0;  // "max": none
      if (std::ifstream(root / group / file) >> limit) least = std::min(least, limit);
      if (group.empty()) break;
    }
  }
  return least;
}

int AvailableCores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) cores = CPU_COUNT(&set);
  if (const int quota = QuotaCores(); quota > 0) cores = std::min(cores, quota);
  return std::max(cores, 1);
}

std::string HostName() {
  char name[256] = "";
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

void NameThisThread(const char* name) { (void)::pthread_setname_np(::pthread_self(), name); }

void AllowOpenFiles(std::size_t files) {
  constexpr ::rlim_t kOthers = 512;
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const ::rlim_t wanted = std::min<::rlim_t>(limit.rlim_max, files + kOthers);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace millrace
