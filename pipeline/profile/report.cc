#include "pipeline/profile/report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/format.h"
#include "base/utf8.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;

std::string PerSecond(std::uint64_t bytes, double seconds) {
  if (bytes == 0) return "";
  return FormatBytes(
             static_cast<std::uint64_t>(std::llround(static_cast<double>(bytes) / seconds))) +
         "/s";
}

std::string StageRows(const GraphUse& use) {
  std::string rows = fmt::format(
      "{:<10} {:>9} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>9} {:>12} {:>12}\n", "stage", "calls",
      "busy", "cpu", "mean ms", "p50", "p90", "p99", "queued ms", "output", "major faults");
  for (std::size_t i = 0; i < kNumStages; ++i) {
    const StageUse& stage = use.stages[i];
    if (stage.calls == 0) continue;
    rows += fmt::format(
        "{:<10} {:>9} {:>6.2f} {:>6.2f} {:>8.3f} {:>8.3f} {:>8.3f} {:>8.3f} {:>9.3f} {:>12} "
        "{:>7}\n",
        StageName(static_cast<Stage>(i)), FormatCount(stage.calls), stage.busy_cores,
        stage.processor_cores, stage.mean_ms, stage.p50_ms, stage.p90_ms, stage.p99_ms,
        stage.queued_ms, PerSecond(stage.bytes, use.span.seconds()),
        FormatCount(stage.major_faults));
  }
  return rows;
}

std::string MemoryLine(const Measurement& measured) {
  const std::uint64_t all = measured.memory.beyond_page_cache();
  const std::uint64_t batches = measured.slot_bytes + measured.lane_bytes;
  return fmt::format(
      "{} of memory: {} slots, {} batches of the devices, {} all else; beside it {} of mapped "
      "files, which the system takes back when it wants them\n",
      FormatBytes(all), FormatBytes(measured.slot_bytes), FormatBytes(measured.lane_bytes),
      FormatBytes(all > batches ? all - batches : 0), FormatBytes(measured.memory.files));
}

std::string_view StepName(ProfiledStep step) {
  switch (step) {
    case ProfiledStep::kNone:
      return "none";
    case ProfiledStep::kEmulated:
      return "emulated";
    case ProfiledStep::kReal:
      return "real";
  }
  return {};
}

Json UseJson(const Measurement& measured) {
  const GraphUse& use = measured.use;
  Json json;
  json["images_per_s"] = use.images_per_s;
  json["seconds"] = use.span.seconds();
  json["batches"] = use.batches;
  json["samples"] = use.samples;
  json["workers_busy_share"] = use.workers_busy;
  json["lanes_busy_share"] = use.lanes_busy;
  json["backlog_share"] = use.backlog;
  json["ready_share"] = use.ready;
  json["ready_batches"] = use.ready_batches;
  json["slots"] = measured.slots;
  json["resident_bytes"] = {{"anonymous", measured.memory.anonymous},
                            {"shared", measured.memory.shared},
                            {"files", measured.memory.files},
                            {"slots", measured.slot_bytes},
                            {"lanes", measured.lane_bytes}};
  json["stages"] = Json::object();
  for (std::size_t i = 0; i < kNumStages; ++i) {
    const StageUse& stage = use.stages[i];
    json["stages"][std::string(StageName(static_cast<Stage>(i)))] = {
        {"calls", stage.calls},
        {"busy_cores", stage.busy_cores},
        {"processor_cores", stage.processor_cores},
        {"mean_ms", stage.mean_ms},
        {"p50_ms", stage.p50_ms},
        {"p90_ms", stage.p90_ms},
        {"p99_ms", stage.p99_ms},
        {"queued_ms", stage.queued_ms},
        {"bytes", stage.bytes},
        {"minor_faults", stage.minor_faults},
        {"major_faults", stage.major_faults}};
  }
  if (measured.dropped > 0) json["calls_not_kept"] = measured.dropped;
  return json;
}

}  // namespace

std::optional<double> ProfileReport::device_utilisation() const {
  if (step == ProfiledStep::kNone || !measured.whole) return {};
  const GraphUse& use = measured.whole->use;
  if (step == ProfiledStep::kReal) return use.lanes_busy;
  return use.images_per_s / per_device * emulated_step_ms * 1e-3 / lanes;
}

std::string ProfileTable(const ProfileReport& report) {
  const GraphUse& use = report.measured.main().use;
  std::string table = fmt::format(
      "{}: {} on {}, batches of {} pictures of {} x {}; {} workers, {} slots, {} cores\n\n",
      Printable(report.recipe), Printable(report.dataset), report.devices, report.per_device,
      report.picture_width, report.picture_height, report.workers, report.slots, report.cores);
  table += StageRows(use);
  table += fmt::format(
      "\nworkers busy {:.0f} %, devices busy {:.0f} %, {:.1f} finished batches waiting for a "
      "device\n",
      100 * use.workers_busy, 100 * use.lanes_busy, use.ready_batches);
  table += MemoryLine(report.measured.main());
  table += fmt::format(
      "decoded: {} on the GPU, {} by the region decoder, {} by libjpeg-turbo, {} by libpng\n",
      FormatCount(report.decoded.gpu), FormatCount(report.decoded.region),
      FormatCount(report.decoded.libjpeg_turbo), FormatCount(report.decoded.libpng));
  const auto rate = [&](std::string_view name, double images_per_s) {
    table += fmt::format("  {:<28} {:>10.1f} images/s\n", name, images_per_s);
  };
  if (report.measured.whole) {
    rate(report.step == ProfiledStep::kEmulated ? "with the emulated train step"
                                                : "with the train step",
         report.measured.whole->use.images_per_s);
  }
  rate("feed alone", report.measured.feed.use.images_per_s);
  if (report.measured.lanes) {
    rate("train step alone", report.measured.lanes->use.images_per_s);
  }
  if (report.step == ProfiledStep::kEmulated) {
    table += fmt::format("  accelerator utilisation {:.1f} % of emulated steps of {} ms\n",
                         100 * *report.device_utilisation(), report.emulated_step_ms);
  }
  return table + fmt::format("\n{}\n  {}\n", report.verdict.sentence, report.verdict.advice);
}

std::string ProfileJson(const ProfileReport& report) {
  Json json;
  json["recipe"] = report.recipe;
  json["dataset"] = report.dataset;
  json["devices"] = report.devices;
  json["per_device"] = report.per_device;
  json["picture"] = {report.picture_width, report.picture_height};
  json["workers"] = report.workers;
  json["slots"] = report.slots;
  json["lanes"] = report.lanes;
  json["cores"] = report.cores;
  json["train_step"] = StepName(report.step);
  if (report.step == ProfiledStep::kEmulated) json["emulated_step_ms"] = report.emulated_step_ms;
  if (const auto share = report.device_utilisation()) json["device_utilisation"] = *share;
  json["decoded"] = {{"gpu", report.decoded.gpu},
                     {"region", report.decoded.region},
                     {"libjpeg_turbo", report.decoded.libjpeg_turbo},
                     {"libpng", report.decoded.libpng}};
  json["verdict"] = {{"limit", report.verdict.limit},
                     {"sentence", report.verdict.sentence},
                     {"advice", report.verdict.advice}};
  if (report.measured.whole) json["with_train_step"] = UseJson(*report.measured.whole);
  json["feed_alone"] = UseJson(report.measured.feed);
  if (report.measured.lanes) json["train_step_alone"] = UseJson(*report.measured.lanes);
  // A path may hold any bytes; what is not UTF-8 is shown as a replacement character.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace millrace::pipeline
