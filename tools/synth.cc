#include "pipeline/synth.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/format.h"
#include "tools/command.h"
#include "tracking/console.h"

namespace millrace::tools {
namespace {

const std::map<std::string, pipeline::SynthLayout> kLayouts = {
    {"folder", pipeline::SynthLayout::kFolder},
    {"train-tar", pipeline::SynthLayout::kTrainTar},
    {"val-tar", pipeline::SynthLayout::kValTar},
    {"webdataset", pipeline::SynthLayout::kWebdataset}};

struct Options {
  pipeline::SynthOptions synth;
  std::string layout = "folder";
  std::string split = "train";
  bool json = false;
};

ExitCode Run(Options& options) {
  options.synth.stop = &CatchInterrupts();
  options.synth.layout = kLayouts.at(options.layout);
  options.synth.split =
      options.split == "val" ? pipeline::SynthSplit::kVal : pipeline::SynthSplit::kTrain;
  pipeline::SynthReport report;
  const std::int64_t begin_ns = NowNs();
  const auto rate = [&](std::uint64_t images) {
    const double seconds = NsToSeconds(NowNs() - begin_ns);
    return seconds > 0 ? static_cast<double>(images) / seconds : 0;
  };
  {
    tracking::ProgressLine line(stderr);
    report = pipeline::Synth(options.synth, [&](const pipeline::SynthProgress& progress) {
      line.Update({.label = "synth " + options.layout,
                   .done = progress.images,
                   .total = progress.total_images,
                   .unit = "images",
                   .detail = fmt::format("{}  {:.0f} images/s", FormatBytes(progress.bytes),
                                         rate(progress.images))});
    });
  }
  const std::string to = options.synth.to.string();
  if (options.json) {
    const nlohmann::ordered_json json = {{"stopped", report.stopped},
                                         {"images", report.images},
                                         {"bytes", report.bytes},
                                         {"images_per_second", rate(report.images)}};
    fmt::print("{}\n", json.dump(2));
  } else if (report.stopped) {
    fmt::print("stopped; nothing was left in {}\n", to);
  } else {
    fmt::print("{}: {} images of {} classes, {}; {:.0f} images/s\n", to, FormatCount(report.images),
               FormatCount(options.synth.classes), FormatBytes(report.bytes), rate(report.images));
  }
  return report.stopped ? ExitCode::kInterrupted : ExitCode::kDone;
}

}  // namespace

void AddSynth(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  pipeline::SynthOptions& synth = options->synth;
  CLI::App* command = app.add_subcommand(
      "synth", "make up pictures of ImageNet's size and weight, to try things at its scale");
  command->add_option("--to", synth.to, "the folder to write, which must be new or empty")
      ->required();
  command->add_option("--images", synth.images, "how many")
      ->check(CLI::Range(2, 100'000'000))
      ->capture_default_str();
  command->add_option("--classes", synth.classes, "of how many classes, in equal shares")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();
  command->add_option("--seed", synth.seed, "chooses classes and pictures")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  command
      ->add_option("--layout", options->layout,
                   "folder: an image folder; train-tar: ILSVRC2012_img_train.tar; val-tar: "
                   "ILSVRC2012_img_val.tar and its labels; webdataset: tars of 1,000 pictures")
      ->check(CLI::IsMember({"folder", "train-tar", "val-tar", "webdataset"}))
      ->capture_default_str();
  command->add_option("--split", options->split, "train or val: other pictures of the same classes")
      ->check(CLI::IsMember({"train", "val"}))
      ->capture_default_str();
  command
      ->add_option("--jobs", synth.jobs,
                   "threads (default: one per core); the output does not depend on them")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Examples:\n"
      "  millrace synth --to synth/train --images 100000 --classes 100\n"
      "  millrace synth --to synth/val --images 5000 --classes 100 --split val\n"
      "  millrace synth --to synth/tar --images 100000 --classes 1000 --layout train-tar\n"
      "A picture has about 500 x 375 pixels and 110 KB. The same seed gives the same pictures in\n"
      "every layout and at any number of threads.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
