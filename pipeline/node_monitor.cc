#include "pipeline/node_monitor.h"

#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/process.h"
#include "tracking/tags.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::json;

// A process as the others must know it to share out the looking.
struct Resident {
  bool first_of_node = false;
  std::string host;
  std::vector<std::string> bus_ids;

  std::string ToText() const {
    return Json::array({first_of_node, host, bus_ids})
        .dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  static Resident FromText(const std::string& text) {
    const Json json = Json::parse(text);
    return {.first_of_node = json.at(0), .host = json.at(1), .bus_ids = json.at(2)};
  }
};

struct Node {
  std::string host;
  std::size_t process = 0;  // which looks
  std::vector<std::string> bus_ids;
};

// In the order of the first processes of nodes. A process belongs to the last node so far that has
// its host's name, because launchers deal processes to nodes in blocks or in turns.
std::vector<Node> NodesOf(const std::vector<std::string>& texts, std::size_t process,
                          std::size_t* node_of_process) {
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Resident resident = Resident::FromText(texts[i]);
    std::size_t node = nodes.size();
    while (!resident.first_of_node && node > 0 && nodes[node - 1].host != resident.host) --node;
    if (resident.first_of_node || node == 0) {
      nodes.push_back({.host = resident.host, .process = i, .bus_ids = {}});
      node = nodes.size();
    }
    auto& bus_ids = nodes[node - 1].bus_ids;
    bus_ids.insert(bus_ids.end(), resident.bus_ids.begin(), resident.bus_ids.end());
    if (i == process) *node_of_process = node - 1;
  }
  return nodes;
}

}  // namespace

// What a node looked like at one moment.
struct NodeMonitor::Sight {
  Moment moment;
  std::vector<std::pair<std::string, double>> values;

  std::string ToText() const { return Json::array({moment.step, moment.epoch, values}).dump(); }
  static Sight FromText(const std::string& text) {
    const Json json = Json::parse(text);
    return {.moment = {.step = json.at(0), .epoch = json.at(1)}, .values = json.at(2)};
  }
};

NodeMonitor::NodeMonitor(Peers& peers, Options options, tracking::RunLog& log)
    : options_(std::move(options)),
      first_(peers.first()),
      log_(log),
      seen_step_(options_.now().step) {
  const Resident resident{.first_of_node = options_.placement.local_process == 0,
                          .host = HostName(),
                          .bus_ids = options_.bus_ids};
  const auto nodes =
      NodesOf(peers.FromEach("place", resident.ToText()), options_.placement.process, &node_);
  nodes_ = nodes.size();
  told_.assign(nodes_, seen_step_);
  if (first_ && nodes_ > 1) {
    std::string names;
    for (std::size_t node = 0; node < nodes_; ++node) {
      names += fmt::format("{}{} is {}", node == 0 ? "" : ", ", tracking::NodeName(node),
                           nodes[node].host);
    }
    log_.Text("{}", names);
  }
  if (nodes[node_].process != options_.placement.process) return;
  use_ = std::make_unique<NodeUse>(
      NodeUse::Sources{.bus_ids = nodes[node_].bus_ids, .disk = options_.disk});
  if (!use_->problem().empty()) {
    log_.Text("timings.jsonl lacks figures of GPUs: {}", use_->problem());
  }
  if (nodes_ > 1) box_ = peers.Mailbox("node");
  thread_ = std::jthread([this](const std::stop_token& over) { Work(over); });
}

NodeMonitor::~NodeMonitor() = default;

void NodeMonitor::Work(const std::stop_token& over) {
  NameThisThread("node monitor");
  using Clock = std::chrono::steady_clock;
  std::mutex mutex;
  std::condition_variable_any asleep;
  auto next = Clock::now() + options_.period;
  try {
    for (;;) {
      std::unique_lock lock(mutex);
      asleep.wait_for(lock, over, options_.glance, [] { return false; });
      if (over.stop_requested()) return;
      use_->Glance();
      if (Clock::now() < next) continue;
      next = Clock::now() + options_.period;
      Look();
      TellRest();
    }
  } catch (const std::exception&) {
    // The log that cannot be written, or the process that served the store, ends the run elsewhere.
  }
}

void NodeMonitor::Look() {
  const Moment moment = options_.now();
  if (moment.step <= seen_step_) return;
  seen_step_ = moment.step;
  const Sight sight{.moment = moment, .values = use_->Take()};
  if (first_) {
    Tell(node_, sight);
  } else {
    box_->Set(std::to_string(node_), sight.ToText());
  }
}

void NodeMonitor::Tell(std::size_t node, const Sight& sight) {
  if (sight.moment.step <= told_[node]) return;
  told_[node] = sight.moment.step;
  tracking::Scalars scalars{.kind = tracking::Scalars::Kind::kTiming,
                            .group = std::string(tracking::kSystemGroup),
                            .step = sight.moment.step,
                            .epoch = sight.moment.epoch,
                            .values = sight.values,
                            .texts = {}};
  if (nodes_ > 1) {
    for (auto& value : scalars.values) value.first.insert(0, tracking::NodeName(node) + "/");
  }
  log_.Emit(std::move(scalars));
}

void NodeMonitor::Stop() {
  if (!use_) return;
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  use_->Glance();
  Look();
}

void NodeMonitor::TellRest() {
  if (!first_ || !box_) return;
  for (std::size_t node = 0; node < nodes_; ++node) {
    if (node == node_) continue;
    if (const auto text = box_->Find(std::to_string(node))) Tell(node, Sight::FromText(*text));
  }
}

}  // namespace millrace::pipeline
