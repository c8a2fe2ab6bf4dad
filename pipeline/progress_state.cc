#include "pipeline/progress_state.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"

namespace millrace::pipeline {
namespace {

const std::string& Entry(const std::map<std::string, std::string>& metadata, const std::string& key,
                         const std::string& source) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) {
    Fail(
        "{}: its metadata lacks \"{}\": it holds weights but is no checkpoint of a training run; "
        "give it to "
        "--weights, or resume from a file of a run's checkpoints/ folder",
        source, key);
  }
  return it->second;
}

std::uint64_t Number(const std::map<std::string, std::string>& metadata, const std::string& key,
                     const std::string& source, int base = 10) {
  const std::string& text = Entry(metadata, key, source);
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (code != std::errc{} || end != text.data() + text.size()) {
    Fail("{}: its metadata says {} = \"{}\", which is no number: the file is damaged", source, key,
         text);
  }
  return value;
}

}  // namespace

std::uint64_t RollBatches(std::uint64_t batches, std::uint64_t batch_digest) {
  Hasher hasher;
  hasher.AddU64(batches);
  hasher.AddU64(batch_digest);
  return hasher.Digest();
}

std::map<std::string, std::string> ProgressState::ToMetadata() const {
  nlohmann::ordered_json best_list = nlohmann::ordered_json::array();
  for (const BestEntry& entry : best) {
    best_list.push_back({{"top1", entry.top1}, {"step", entry.step}, {"file", entry.file}});
  }
  return {
      {"step", std::to_string(step)},
      {"epoch", std::to_string(epoch)},
      {"position", std::to_string(position)},
      {"evaluation_pending", evaluation_pending ? "1" : "0"},
      {"batches", HashToHex(batches)},
      {"digest", HashToHex(digest)},
      {"metrics_bytes", std::to_string(metrics_bytes)},
      {"best", best_list.dump()},
      {"best_top1", nlohmann::json(best_top1).dump()},
      {"validations_without_gain", std::to_string(validations_without_gain)},
      {"config", config},
      {"torchscript", torchscript},
      {"initial_weights", initial_weights},
      {"tracker_run", tracker_run},
      {"dataset_fingerprint", identity.dataset_fingerprint},
      {"model", identity.model},
      {"classes", std::to_string(identity.classes)},
      {"seed", std::to_string(identity.seed)},
      {"global_batch", std::to_string(identity.global_batch)},
      {"lanes", std::to_string(layout.lanes)},
      {"threads_per_lane", std::to_string(layout.threads_per_lane)},
      {"device", layout.device},
  };
}

ProgressState ProgressState::FromMetadata(const std::map<std::string, std::string>& metadata,
                                          const std::string& source) {
  ProgressState state;
  state.step = Number(metadata, "step", source);
  state.epoch = Number(metadata, "epoch", source);
  state.position = Number(metadata, "position", source);
  state.evaluation_pending = Number(metadata, "evaluation_pending", source) != 0;
  // Checkpoints of the time before there was such a hash begin it anew.
  if (metadata.contains("batches")) state.batches = Number(metadata, "batches", source, 16);
  state.digest = Number(metadata, "digest", source, 16);
  state.metrics_bytes = Number(metadata, "metrics_bytes", source);
  // Checkpoints of the time before early stopping begin to count anew.
  if (metadata.contains("validations_without_gain")) {
    state.validations_without_gain = Number(metadata, "validations_without_gain", source);
  }
  state.config = Entry(metadata, "config", source);
  state.identity.dataset_fingerprint = Entry(metadata, "dataset_fingerprint", source);
  state.identity.model = Entry(metadata, "model", source);
  state.identity.classes = Number(metadata, "classes", source);
  state.identity.seed = Number(metadata, "seed", source);
  state.identity.global_batch = Number(metadata, "global_batch", source);
  state.layout.lanes = static_cast<std::uint32_t>(Number(metadata, "lanes", source));
  state.layout.threads_per_lane =
      static_cast<std::uint32_t>(Number(metadata, "threads_per_lane", source));
  // Checkpoints of the time when there was nothing but the CPU do not say it.
  if (const auto device = metadata.find("device"); device != metadata.end()) {
    state.layout.device = device->second;
  }
  // Nor do those of the time when there were no trackers say which run was theirs, ...
  const auto read_if_there = [&](const char* name, std::string* text) {
    if (const auto at = metadata.find(name); at != metadata.end()) *text = at->second;
  };
  read_if_there("tracker_run", &state.tracker_run);
  read_if_there("torchscript", &state.torchscript);
  read_if_there("initial_weights", &state.initial_weights);
  try {
    if (const auto best = metadata.find("best_top1"); best != metadata.end()) {
      state.best_top1 = nlohmann::json::parse(best->second).get<double>();
    }
    const auto list = nlohmann::json::parse(Entry(metadata, "best", source));
    for (const auto& entry : list.get<std::vector<nlohmann::json>>()) {
      state.best.push_back({.top1 = entry.at("top1").get<double>(),
                            .step = entry.at("step").get<std::uint64_t>(),
                            .file = entry.at("file").get<std::string>()});
    }
  } catch (const nlohmann::json::exception&) {
    Fail("{}: its metadata's best evaluations cannot be read: the file is damaged", source);
  }
  return state;
}

void ProgressState::RequireSameRun(const RunIdentity& wanted, const std::string& source) const {
  if (identity.model != wanted.model) {
    Fail(
        "{}: is a checkpoint of {}, but the recipe trains {}; resume with the recipe that wrote it "
        "or start a new "
        "run folder",
        source, identity.model, wanted.model);
  }
  if (identity.classes != wanted.classes) {
    Fail(
        "{}: is a checkpoint for {} classes, but the dataset has {}; resume with the dataset it "
        "was trained on",
        source, identity.classes, wanted.classes);
  }
  if (identity.dataset_fingerprint != wanted.dataset_fingerprint) {
    Fail(
        "{}: was trained on the dataset with fingerprint {}, but this one has {}; resume with the "
        "dataset it was "
        "trained on",
        source, identity.dataset_fingerprint, wanted.dataset_fingerprint);
  }
  if (step == 0 && !evaluation_pending) return;
  if (identity.seed != wanted.seed) {
    Fail("{}: was trained with seed {}, but the recipe says {}; the sample order would differ",
         source, identity.seed, wanted.seed);
  }
  if (identity.global_batch != wanted.global_batch) {
    Fail(
        "{}: was trained with a global batch of {}, but the recipe and the devices give {}; set "
        "batch.global = {}",
        source, identity.global_batch, wanted.global_batch, identity.global_batch);
  }
}

}  // namespace millrace::pipeline
