#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/format.h"
#include "base/hash.h"
#include "pipeline/recipe.h"
#include "pipeline/sample_grid.h"
#include "pipeline/trainer.h"
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
  std::uint32_t rows = 8;
  std::uint32_t columns = 8;
  bool json = false;
};

nlohmann::ordered_json ToJson(const storage::Spread& spread) {
  return {{"min", spread.min}, {"median", spread.median}, {"max", spread.max}, {"sum", spread.sum}};
}

void PrintSplit(const std::string& name, const storage::SplitReader& reader) {
  const storage::Statistics statistics = storage::CollectStatistics(reader);
  const auto& classes = reader.manifest().classes;
  fmt::print("\n{}: {} records in {} shards, fingerprint {}\n", name,
             FormatCount(statistics.records), reader.split().shards.size(),
             HashToHex(reader.split().fingerprint));
  fmt::print("  {:<9} {:>10} {:>10} {:>10}\n", "", "smallest", "median", "largest");
  fmt::print("  {:<9} {:>10} {:>10} {:>10}  pixels\n", "width", statistics.width.min,
             statistics.width.median, statistics.width.max);
  fmt::print("  {:<9} {:>10} {:>10} {:>10}  pixels\n", "height", statistics.height.min,
             statistics.height.median, statistics.height.max);
  fmt::print("  {:<9} {:>10} {:>10} {:>10}  {} in all\n", "file",
             FormatBytes(statistics.payload.min), FormatBytes(statistics.payload.median),
             FormatBytes(statistics.payload.max), FormatBytes(statistics.payload.sum));
  std::string chroma;
  for (std::size_t i = 0; i < statistics.per_subsampling.size(); ++i) {
    if (statistics.per_subsampling[i] == 0) continue;
    chroma += fmt::format("  {} {}", storage::SubsamplingName(static_cast<storage::Subsampling>(i)),
                          FormatCount(statistics.per_subsampling[i]));
  }
  fmt::print("  chroma {}\n", chroma);
  if (statistics.repaired > 0)
    fmt::print("  {} repaired at conversion\n", FormatCount(statistics.repaired));
  const auto [fewest, most] =
      std::minmax_element(statistics.per_class.begin(), statistics.per_class.end());
  fmt::print("  per class: {} to {} records\n", FormatCount(*fewest), FormatCount(*most));
  constexpr std::size_t kClassRows = 20;
  for (std::size_t i = 0; i < std::min(kClassRows, classes.size()); ++i) {
    fmt::print("    {:>10}  {}\n", FormatCount(statistics.per_class[i]),
               classes[i].name == classes[i].id
                   ? classes[i].id
                   : fmt::format("{} ({})", classes[i].name, classes[i].id));
  }
  if (classes.size() > kClassRows)
    fmt::print("    ... and {} more classes\n", classes.size() - kClassRows);
}

nlohmann::ordered_json SplitJson(const storage::SplitReader& reader) {
  const storage::Statistics statistics = storage::CollectStatistics(reader);
  nlohmann::ordered_json json;
  json["records"] = statistics.records;
  json["fingerprint"] = HashToHex(reader.split().fingerprint);
  json["shards"] = reader.split().shards.size();
  json["width"] = ToJson(statistics.width);
  json["height"] = ToJson(statistics.height);
  json["bytes"] = ToJson(statistics.payload);
  for (std::size_t i = 0; i < statistics.per_subsampling.size(); ++i) {
    if (statistics.per_subsampling[i] == 0) continue;
    json["chroma"][storage::SubsamplingName(static_cast<storage::Subsampling>(i))] =
        statistics.per_subsampling[i];
  }
  json["repaired"] = statistics.repaired;
  json["per_class"] = statistics.per_class;
  return json;
}

ExitCode InspectDataset(const Options& options) {
  const storage::Manifest manifest = storage::ReadManifest(options.dataset);
  nlohmann::ordered_json json;
  if (options.json) {
    json["fingerprint"] = HashToHex(manifest.fingerprint);
    json["tool_version"] = manifest.tool_version;
    for (const auto& info : manifest.classes)
      json["classes"].push_back({{"id", info.id}, {"name", info.name}});
  } else {
    fmt::print("{}: {} classes, dataset fingerprint {}, written by millrace {}\n", options.dataset,
               FormatCount(manifest.classes.size()), HashToHex(manifest.fingerprint),
               manifest.tool_version);
  }
  for (const auto& [name, split] : manifest.splits) {
    const storage::SplitReader reader(options.dataset, name);
    if (options.json) {
      json["splits"][name] = SplitJson(reader);
    } else {
      PrintSplit(name, reader);
    }
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
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

ExitCode InspectGrid(const Options& options) {
  if (options.config.empty()) FailUsage("--grid needs --config RECIPE, whose operations it shows");
  const pipeline::Recipe recipe = pipeline::Recipe::Load(options.config, {});
  pipeline::CheckRecipe(recipe);
  const pipeline::SampleGrid grid =
      pipeline::MakeSampleGrid(recipe, options.dataset, options.rows, options.columns);
  tracking::WritePng(options.grid, grid.width, grid.height, grid.pixels);
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
  CLI::App* command =
      app.add_subcommand("inspect", "statistics of a dataset, single samples, augmented pictures");
  command->add_option("DIR", options->dataset, "the converted dataset")->required();
  CLI::Option* split =
      command->add_option("--split", options->split, "of --sample")->capture_default_str();
  CLI::Option* sample =
      command->add_option("--sample", options->sample, "show one sample by its id");
  command
      ->add_option("--save", options->save,
                   "with --sample: write its picture to this file (.png where it is one)")
      ->needs(sample);
  CLI::Option* grid =
      command->add_option("--grid", options->grid, "write a PNG that shows what augmentation does");
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
  command->add_flag("--json", options->json, "print the result as one JSON object")->excludes(grid);
  command->footer(
      "Examples:\n"
      "  millrace inspect data/imagenette\n"
      "  millrace inspect data/imagenette --sample 17 --save 17.jpg\n"
      "  millrace inspect data/imagenette --grid grid.png --config "
      "configs/imagenette-resnet18-64px-cpu.toml");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
