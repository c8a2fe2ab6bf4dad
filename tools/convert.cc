#include "pipeline/convert.h"

#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "tools/command.h"
#include "tools/worker_option.h"
#include "tracking/console.h"

namespace millrace::tools {
namespace {

using pipeline::ConvertProgress;
using pipeline::ConvertReport;
using pipeline::OnBad;

const std::map<std::string, OnBad> kOnBad = {
    {"repair", OnBad::kRepair}, {"skip", OnBad::kSkip}, {"fail", OnBad::kFail}};

struct Options {
  pipeline::ConvertOptions convert;
  std::string on_bad = "repair";
  std::string region_index = "on";
  std::string worker;
  bool merge = false;
  bool json = false;
};

nlohmann::ordered_json ToJson(const ConvertReport& report) {
  nlohmann::ordered_json json;
  json["nothing_to_do"] = report.nothing_to_do;
  json["stopped"] = report.stopped;
  json["is_part"] = report.is_part;
  json["records"] = report.records;
  json["classes"] = report.classes;
  json["shards"] = report.shards;
  json["shards_kept"] = report.shards_kept;
  json["pictures_kept"] = report.pictures_kept;
  json["bytes"] = report.bytes;
  json["fingerprint"] = HashToHex(report.fingerprint);
  json["left_out"] = report.left_out;
  json["changed"] = report.changed;
  json["ignored"] = report.ignored.size();
  return json;
}

// What the files were that are not in the dataset, or not as they came.
void PrintExceptions(const Options& options, const ConvertReport& report) {
  const std::string listed = options.convert.to.string() + "/report.json";
  if (report.left_out > 0) {
    fmt::print("{} bad files were left out; they are listed in {}\n", FormatCount(report.left_out),
               listed);
  }
  if (report.changed > 0) {
    fmt::print("{} files were not stored as they came; {} says what was done about each\n",
               FormatCount(report.changed), listed);
  }
  if (!report.ignored.empty()) {
    fmt::print("{} files that are not pictures were passed over, such as {}\n",
               FormatCount(report.ignored.size()), report.ignored.front());
  }
}

void PrintSummary(const Options& options, const ConvertReport& report) {
  const std::string to = options.convert.to.string();
  if (report.stopped) {
    fmt::print("stopped; run the same command again to go on\n");
    return;
  }
  if (report.is_part) {
    const auto worker = options.convert.worker.value_or(storage::SourcePart{});
    fmt::print(
        "worker {} of {}: {} pictures converted, {} left out; when all workers are done: "
        "millrace convert --merge --to {} --split {}\n",
        worker.index, worker.count, FormatCount(report.records), FormatCount(report.left_out), to,
        options.convert.split);
    return;
  }
  if (report.nothing_to_do)
    fmt::print("nothing to do: the split is complete and its sources unchanged\n");
  fmt::print("{} {}: {} records of {} classes in {} shards, {}; fingerprint {}\n", to,
             options.convert.split, FormatCount(report.records), FormatCount(report.classes),
             report.shards, FormatBytes(report.bytes), HashToHex(report.fingerprint));
  if (report.nothing_to_do) return;
  if (report.pictures_kept > 0 || report.shards_kept > 0) {
    fmt::print("{} pictures and {} shards were kept from an earlier run\n",
               FormatCount(report.pictures_kept), FormatCount(report.shards_kept));
  }
  PrintExceptions(options, report);
}

// Shows how far the conversion has come.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(std::string split) : split_(std::move(split)), line_(stderr) {}

  void operator()(const ConvertProgress& progress) {
    const bool reading = progress.stage == ConvertProgress::Stage::kPictures;
    if (begin_ns_ == 0 || progress.stage != stage_) {
      stage_ = progress.stage;
      begin_ns_ = NowNs();
      before_ = progress.pictures - 1;
    }
    const double seconds = NsToSeconds(NowNs() - begin_ns_);
    const auto done = static_cast<double>(progress.pictures - before_);
    // A rate over a few milliseconds says nothing.
    const std::string rate =
        seconds > 0.1 ? fmt::format("{:.0f} pictures/s", done / seconds) : std::string();
    line_.Update(
        {.label = (reading ? "convert " : "shards of ") + split_,
         .done = reading ? progress.bytes : progress.pictures,
         .total = reading ? progress.total_bytes : progress.total_pictures,
         .unit = reading ? "bytes" : "pictures",
         .detail = reading ? fmt::format("{} pictures  {}", FormatCount(progress.pictures), rate)
                           : rate});
  }

 private:
  std::string split_;
  tracking::ProgressLine line_;
  ConvertProgress::Stage stage_ = ConvertProgress::Stage::kPictures;
  std::int64_t begin_ns_ = 0;  // of the stage
  std::uint64_t before_ = 0;   // pictures of earlier runs
};

ConvertReport Work(const Options& options) {
  const pipeline::ConvertOptions& convert = options.convert;
  ProgressPrinter printer(convert.split);
  const auto progress = [&](const ConvertProgress& state) { printer(state); };
  if (!options.merge) return pipeline::Convert(convert, progress);
  return pipeline::MergeParts({.to = convert.to,
                               .split = convert.split,
                               .shards = convert.shards,
                               .jobs = convert.jobs,
                               .stop = convert.stop},
                              progress);
}

ExitCode Run(Options& options) {
  options.convert.stop = &CatchInterrupts();
  options.convert.on_bad = kOnBad.at(options.on_bad);
  options.convert.picture.region_index = options.region_index == "on";
  if (!options.worker.empty()) {
    options.convert.worker =
        ParseWorker(options.worker, [](const char* name) { return std::getenv(name); });
  }
  const bool has_sources = !options.convert.sources.empty();
  if (options.merge && has_sources) {
    FailUsage("--merge joins what workers have converted and takes no --from");
  }
  if (!options.merge && !has_sources) FailUsage("--from is required; see millrace convert --help");
  const ConvertReport report = Work(options);
  if (options.json) {
    fmt::print("{}\n", ToJson(report).dump(2));
  } else {
    PrintSummary(options, report);
  }
  return report.stopped ? ExitCode::kInterrupted : ExitCode::kDone;
}

void AddSources(CLI::App& command, Options& options) {
  pipeline::ConvertOptions& convert = options.convert;
  command.add_option("--from", convert.sources,
                     "an image folder with one sub-folder per class, ILSVRC2012_img_train.tar, "
                     "ILSVRC2012_img_val.tar, or WebDataset tars (a tar, a folder of them, or "
                     "\"train-{000..127}.tar\"); several are mixed");
  command.add_option("--devkit", convert.devkit,
                     "labels of ILSVRC2012_img_val.tar and readable names of classes: "
                     "ILSVRC2012_devkit_t12.tar.gz, its folder, or a list of labels");
  command.add_option(
      "--classes", convert.classes,
      "lines \"id name\" that say what class numbers of a WebDataset, or folders named "
      "by numbers, mean, such as LOC_synset_mapping.txt");
}

void AddVariants(CLI::App& command, Options& options) {
  pipeline::ConvertOptions& convert = options.convert;
  command
      .add_option("--region-index", options.region_index,
                  "on: JPEGs are packed anew without loss, so that crops are decoded alone; off: "
                  "they are stored byte for byte as they came")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  auto* resize_short =
      command
          .add_option("--resize-short", convert.picture.resize_short,
                      "makes pictures smaller until their shorter side has so many pixels")
          ->check(CLI::Range(1, 65500));
  command
      .add_option("--max-side", convert.picture.max_side,
                  "makes pictures smaller until their longer side has so many pixels at most")
      ->check(CLI::Range(1, 65500))
      ->excludes(resize_short);
  command
      .add_option("--quality", convert.picture.quality,
                  "of the JPEGs of pictures that were made smaller")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
}

void AddManyMachines(CLI::App& command, Options& options) {
  auto* worker = command.add_option(
      "--worker", options.worker,
      "convert part I of N (0 to N-1) only; auto: as the Slurm array or job says; auto/N: as the "
      "index of the Kubernetes job says");
  command.add_flag("--merge", options.merge, "join and check what all workers have converted")
      ->excludes(worker);
}

}  // namespace

void AddConvert(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  pipeline::ConvertOptions& convert = options->convert;
  CLI::App* command =
      app.add_subcommand("convert", "convert a set of pictures into sharded records, once");
  AddSources(*command, *options);
  command->add_option("--to", convert.to, "the dataset's folder")->required();
  command->add_option("--split", convert.split, "the split's name")->capture_default_str();
  command->add_option("--shards", convert.shards, "number of shards (default: one per 256 MiB)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--seed", convert.seed, "of the order in which samples are dealt to shards")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  command
      ->add_option("--on-bad", options->on_bad,
                   "repair: what can be repaired is stored, the rest left out; skip: whatever is "
                   "not sound is left out; fail: check all files, then fail; report.json lists "
                   "all such files")
      ->check(CLI::IsMember({"repair", "skip", "fail"}))
      ->capture_default_str();
  AddVariants(*command, *options);
  AddManyMachines(*command, *options);
  command
      ->add_option("--jobs", convert.jobs,
                   "threads (default: one per core); the output does not depend on them")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Examples:\n"
      "  millrace convert --from imagenette/train --to data/imagenette --split train\n"
      "  millrace convert --from ILSVRC2012_img_train.tar --devkit ILSVRC2012_devkit_t12.tar.gz "
      "\\\n"
      "    --to data/imagenet --split train\n"
      "  millrace convert --from ILSVRC2012_img_val.tar --devkit ILSVRC2012_devkit_t12.tar.gz \\\n"
      "    --to data/imagenet --split val\n"
      "  millrace convert --from \"wds/train-{0000..1023}.tar\" --classes LOC_synset_mapping.txt "
      "\\\n"
      "    --to data/imagenet --split train\n"
      "On many machines, each of sixteen, and then one of them:\n"
      "  millrace convert --from ILSVRC2012_img_train.tar --to data/imagenet --worker auto\n"
      "  millrace convert --merge --to data/imagenet\n"
      "An interrupted conversion goes on where it stopped when the same command is run again.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
