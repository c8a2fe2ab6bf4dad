#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/format.h"
#include "pipeline/dataset_page.h"
#include "pipeline/dataset_summary.h"
#include "pipeline/dataset_table.h"
#include "pipeline/recipe.h"
#include "pipeline/sample_grid.h"
#include "pipeline/trainer.h"
#include "storage/jpeg_encode.h"
#include "storage/payload_check.h"
#include "storage/split_reader.h"
#include "storage/statistics.h"
#include "tools/command.h"
#include "tracking/png.h"

namespace millrace::tools {
namespace {

struct Options {
  std::string dataset;
  std::string split = "train";
  std::optional<std::uint64_t> sample;
  std::string save;
  std::string grid;
  std::string config;
  std::string html;
  std::uint32_t rows = 8;
  std::uint32_t columns = 8;
  bool classes = false;
  bool json = false;
};

ExitCode InspectDataset(const Options& options) {
  const pipeline::DatasetSummary summary = pipeline::SummarizeDataset(options.dataset);
  if (!options.html.empty()) {
    const pipeline::DatasetPage page = pipeline::WriteDatasetPage(summary, options.html);
    fmt::print("{}: a page of {} with {} pictures; open it in a browser\n", options.html,
               FormatBytes(page.bytes), FormatCount(page.pictures));
  } else if (options.json) {
    fmt::print("{}", pipeline::SummaryJson(summary));
  } else {
    fmt::print("{}", pipeline::SummaryTable(summary, options.classes));
  }
  return ExitCode::kDone;
}

// Where a sample is saved: as asked for, but never a PNG under a JPEG's name or the other way
// round.
std::filesystem::path PathOfSaved(std::filesystem::path path, std::span<const std::byte> payload) {
  const std::string_view extension = storage::PayloadExtension(payload);
  if ((extension == ".png") != (path.extension() == ".png")) path.replace_extension(extension);
  return path;
}

ExitCode InspectSample(const Options& options) {
  const storage::SplitReader reader(options.dataset, options.split);
  if (*options.sample >= reader.size()) {
    FailUsage("--sample {}: split {} has the samples 0 to {}", *options.sample, options.split,
              reader.size() - 1);
  }
  const auto record = reader.Read(*options.sample);
  if (!record) Fail("sample {}: {}", *options.sample, record.fault().message);
  const storage::ClassInfo& info = reader.manifest().classes[record->label];
  std::filesystem::path saved;
  if (!options.save.empty()) {
    saved = PathOfSaved(options.save, record->payload);
    AtomicFile file(saved);
    file.Write(record->payload);
    file.Commit();
  }
  if (options.json) {
    nlohmann::ordered_json json = {{"sample", *options.sample},
                                   {"where", reader.Where(*options.sample)},
                                   {"path", record->path},
                                   {"label", record->label},
                                   {"class", info.id},
                                   {"name", info.name},
                                   {"width", record->width},
                                   {"height", record->height},
                                   {"bytes", record->payload.size()},
                                   {"chroma", storage::SubsamplingName(record->subsampling)}};
    if (!saved.empty()) json["saved"] = saved.string();
    // A path may hold any bytes; what is not UTF-8 is shown as a replacement character.
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return ExitCode::kDone;
  }
  fmt::print("sample {} of {} ({})\n  {}\n  class {}: {}\n  {} x {} pixels, {}, {}\n",
             *options.sample, options.split, reader.Where(*options.sample), record->path,
             record->label,
             info.name == info.id ? info.id : fmt::format("{} ({})", info.name, info.id),
             record->width, record->height, storage::SubsamplingName(record->subsampling),
             FormatBytes(record->payload.size()));
  if (!saved.empty()) fmt::print("  saved as {}\n", saved.string());
  return ExitCode::kDone;
}

// As a JPEG where the path says so, otherwise as a PNG.
void WriteGrid(const pipeline::SampleGrid& grid, const std::filesystem::path& path) {
  if (path.extension() != ".jpg" && path.extension() != ".jpeg") {
    return tracking::WritePng(path, grid.width, grid.height, grid.pixels);
  }
  AtomicFile file(path);
  file.Write(storage::EncodeJpeg(grid.pixels, grid.width, grid.height,
                                 {.quality = 85, .subsampling = storage::Subsampling::k444}));
  file.Commit();
}

ExitCode InspectGrid(const Options& options) {
  if (options.config.empty()) FailUsage("--grid needs --config RECIPE, whose operations it shows");
  const pipeline::Recipe recipe = pipeline::Recipe::Load(options.config, {});
  pipeline::CheckRecipe(recipe);
  const pipeline::SampleGrid grid =
      pipeline::MakeSampleGrid(recipe, options.dataset, options.rows, options.columns);
  WriteGrid(grid, options.grid);
  fmt::print("{}: {} x {} pixels; each row one sample, each column one epoch\n", options.grid,
             grid.width, grid.height);
  return ExitCode::kDone;
}

ExitCode Run(const Options& options) {
  if (options.sample) return InspectSample(options);
  if (!options.grid.empty()) return InspectGrid(options);
  return InspectDataset(options);
}

}  // namespace

void AddInspect(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "inspect",
      "statistics of a dataset as a table or a page, single samples, augmented pictures");
  command->add_option("DIR", options->dataset, "the converted dataset")->required();
  CLI::Option* split =
      command->add_option("--split", options->split, "of --sample")->capture_default_str();
  CLI::Option* sample =
      command->add_option("--sample", options->sample, "show one sample by its id");
  command
      ->add_option("--save", options->save,
                   "with --sample: write its picture to this file (.png where it is one)")
      ->needs(sample);
  CLI::Option* grid = command->add_option(
      "--grid", options->grid, "write a PNG, or a .jpg, that shows what augmentation does");
  CLI::Option* config = command->add_option("--config", options->config, "with --grid: the recipe");
  config->needs(grid);
  grid->excludes(sample);
  split->needs(sample);
  command->add_option("--rows", options->rows, "of --grid")
      ->needs(grid)
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_option("--columns", options->columns, "of --grid")
      ->needs(grid)
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  CLI::Option* html =
      command
          ->add_option("--html", options->html,
                       "write the statistics as a page with sample pictures, in one file")
          ->excludes(sample)
          ->excludes(grid);
  CLI::Option* json =
      command->add_flag("--json", options->json, "print the result as one JSON object")
          ->excludes(grid)
          ->excludes(html);
  command
      ->add_flag("--classes", options->classes,
                 "list all classes, not only the smallest and largest of many")
      ->excludes(sample)
      ->excludes(grid)
      ->excludes(html)
      ->excludes(json);
  command->footer(
      "Examples:\n"
      "  millrace inspect data/imagenette\n"
      "  millrace inspect data/imagenette --html imagenette.html\n"
      "  millrace inspect data/imagenette --sample 17 --save 17.jpg\n"
      "  millrace inspect data/imagenette --grid grid.png --config "
      "configs/imagenette-resnet18-64px-cpu.toml");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
