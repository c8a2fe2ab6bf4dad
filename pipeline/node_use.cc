#include "pipeline/node_use.h"

#include <system_error>

#include "tracking/tags.h"

namespace millrace::pipeline {
namespace {

using Values = std::vector<std::pair<std::string, double>>;

void Add(Values* values, std::string_view name, double value) { values->emplace_back(name, value); }

double Megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

double Percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// Counters go back where a device or an interface goes away.
double Growth(std::uint64_t before, std::uint64_t now) {
  return now > before ? static_cast<double>(now - before) : 0;
}

}  // namespace

NodeUse::NodeUse(Sources sources)
    : sources_(std::move(sources)),
      begin_(ReadMachineUse(sources_.root)),
      before_(begin_),
      sums_(sources_.bus_ids.size()) {
  if (!sources_.bus_ids.empty()) gpus_.emplace(sources_.bus_ids, sources_.nvml);
}

void NodeUse::Glance() {
  if (!gpus_) return;
  const auto uses = gpus_->Read();
  for (std::size_t gpu = 0; gpu < uses.size(); ++gpu) {
    if (!uses[gpu]) continue;
    GpuSums& sums = sums_[gpu];
    ++sums.glances;
    sums.busy_share += uses[gpu]->busy_share;
    sums.power_w += uses[gpu]->power_w.value_or(0);
    sums.last = *uses[gpu];
  }
}

Values NodeUse::Take() {
  namespace names = tracking;
  Values values;
  const MachineUse now = ReadMachineUse(sources_.root);
  if (now.cpu && before_.cpu) {
    // No tick since then is no use.
    Add(&values, names::kCpuUse,
        Percent(Growth(before_.cpu->busy, now.cpu->busy),
                Growth(before_.cpu->ticks, now.cpu->ticks)));
  }
  if (now.memory) {
    const std::uint64_t used = now.memory->total - now.memory->available;
    Add(&values, names::kMemoryUse, Megabytes(used));
    Add(&values, names::kMemoryUseShare,
        Percent(static_cast<double>(used), static_cast<double>(now.memory->total)));
  }
  std::error_code code;
  if (const auto space = std::filesystem::space(sources_.disk, code); !code) {
    const std::uint64_t used = space.capacity - space.free;
    Add(&values, names::kDiskUse, Megabytes(used));
    // Of what users can have, as df tells it: some of it may be kept for root.
    Add(&values, names::kDiskUseShare,
        Percent(static_cast<double>(used), static_cast<double>(used + space.available)));
    Add(&values, names::kDiskFree, Megabytes(space.available));
  }
  if (now.disks && begin_.disks) {
    Add(&values, names::kDiskRead, Growth(begin_.disks->in, now.disks->in) / 1e6);
    Add(&values, names::kDiskWritten, Growth(begin_.disks->out, now.disks->out) / 1e6);
  }
  if (now.network && begin_.network) {
    Add(&values, names::kReceived, Growth(begin_.network->in, now.network->in) / 1e6);
    Add(&values, names::kSent, Growth(begin_.network->out, now.network->out) / 1e6);
  }
  before_ = now;

  for (std::size_t gpu = 0; gpu < sums_.size(); ++gpu) {
    const GpuSums sums = std::exchange(sums_[gpu], {});
    if (sums.glances == 0) continue;
    const auto add = [&](std::string_view name, double value) {
      values.emplace_back(names::GpuValue(gpu, name), value);
    };
    const auto glances = static_cast<double>(sums.glances);
    add(names::kGpuUse, 100 * sums.busy_share / glances);
    add(names::kGpuMemoryUse, Megabytes(sums.last.memory_bytes));
    add(names::kGpuMemoryUseShare, Percent(static_cast<double>(sums.last.memory_bytes),
                                           static_cast<double>(sums.last.memory_total)));
    if (!sums.last.power_w) continue;
    add(names::kGpuPower, sums.power_w / glances);
    if (sums.last.power_limit_w) {
      add(names::kGpuPowerShare, Percent(sums.power_w / glances, *sums.last.power_limit_w));
    }
  }
  return values;
}

}  // namespace millrace::pipeline
