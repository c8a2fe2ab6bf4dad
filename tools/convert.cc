#include "pipeline/convert.h"

#include <fmt/format.h>

#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/format.h"
#include "base/hash.h"
#include "tools/command.h"
#include "tracking/console.h"

namespace millrace::tools {
namespace {

struct Options {
  pipeline::ConvertOptions convert;
  std::string on_bad = "fail";
  bool json = false;
};

nlohmann::ordered_json ToJson(const pipeline::ConvertReport& report) {
  nlohmann::ordered_json json;
  json["nothing_to_do"] = report.nothing_to_do;
  json["stopped"] = report.stopped;
  json["records"] = report.records;
  json["classes"] = report.classes;
  json["shards"] = report.shards;
  json["shards_kept"] = report.shards_kept;
  json["bytes"] = report.bytes;
  json["fingerprint"] = HashToHex(report.fingerprint);
  json["left_out"] = report.left_out.size();
  json["ignored"] = report.ignored.size();
  return json;
}

void PrintSummary(const Options& options, const pipeline::ConvertReport& report) {
  const std::string to = options.convert.to.string();
  if (report.stopped) {
    fmt::print("stopped; run the same command again to go on\n");
    return;
  }
  if (report.nothing_to_do)
    fmt::print("nothing to do: the split is complete and its sources are unchanged\n");
  fmt::print("{} {}: {} records of {} classes in {} shards, {}; fingerprint {}\n", to,
             options.convert.split, FormatCount(report.records), FormatCount(report.classes),
             report.shards, FormatBytes(report.bytes), HashToHex(report.fingerprint));
  if (report.shards_kept > 0 && !report.nothing_to_do) {
    fmt::print("{} shards were kept from an earlier run\n", report.shards_kept);
  }
  if (!report.left_out.empty()) {
    fmt::print("{} bad files were left out; they are listed in {}/report.json\n",
               report.left_out.size(), to);
  }
  if (!report.ignored.empty()) {
    fmt::print("{} files that are not pictures were passed over, such as {}\n",
               report.ignored.size(), report.ignored.front());
  }
}

ExitCode Run(Options& options) {
  options.convert.stop = &CatchInterrupts();
  options.convert.on_bad =
      options.on_bad == "skip" ? pipeline::OnBad::kSkip : pipeline::OnBad::kFail;
  pipeline::ConvertReport report;
  {
    tracking::ProgressLine line(stderr);
    const std::int64_t begin_ns = NowNs();
    report = pipeline::Convert(options.convert, [&](const pipeline::ConvertProgress& progress) {
      const double seconds = NsToSeconds(NowNs() - begin_ns);
      line.Update(
          {.label = "convert " + options.convert.split,
           .done = progress.files,
           .total = progress.total_files,
           .unit = "files",
           .detail = fmt::format("{} of {}  {:.0f} files/s", FormatBytes(progress.bytes),
                                 FormatBytes(progress.total_bytes),
                                 seconds > 0 ? static_cast<double>(progress.files) / seconds : 0)});
    });
  }
  if (options.json) {
    fmt::print("{}\n", ToJson(report).dump(2));
  } else {
    PrintSummary(options, report);
  }
  return report.stopped ? ExitCode::kInterrupted : ExitCode::kDone;
}

}  // namespace

void AddConvert(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  pipeline::ConvertOptions& convert = options->convert;
  CLI::App* command =
      app.add_subcommand("convert", "convert a set of pictures into sharded records, once");
  command
      ->add_option("--from", convert.sources,
                   "image folder with one sub-folder per class; several are mixed")
      ->required();
  command->add_option("--to", convert.to, "the dataset's folder")->required();
  command->add_option("--split", convert.split, "the split's name")->capture_default_str();
  command->add_option("--shards", convert.shards, "number of shards (default: one per 256 MiB)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--seed", convert.seed, "of the order in which samples are dealt to shards")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  command
      ->add_option("--jobs", convert.jobs,
                   "threads (default: one per core); the output does not depend on them")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--on-bad", options->on_bad,
                   "fail: check all files, then fail and list the bad ones; skip: leave them out "
                   "and list them in "
                   "report.json")
      ->check(CLI::IsMember({"fail", "skip"}))
      ->capture_default_str();
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Example:\n"
      "  millrace convert --from imagenette/train --to data/imagenette --split train\n"
      "  millrace convert --from imagenette/val --to data/imagenette --split val\n"
      "An interrupted conversion goes on where it stopped when the same command is run again.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
