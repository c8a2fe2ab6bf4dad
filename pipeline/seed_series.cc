#include "pipeline/seed_series.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/clock.h"
#include "base/file.h"
#include "pipeline/compare_runs.h"
#include "pipeline/run_folder.h"
#include "pipeline/run_record.h"

namespace millrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;

const char* Name(SeedRun::State state) {
  switch (state) {
    case SeedRun::State::kWaiting:
      return "waiting";
    case SeedRun::State::kStopped:
      return "stopped";
    case SeedRun::State::kFinished:
      return "finished";
  }
  return "";
}

std::filesystem::path SeriesPath(const std::filesystem::path& out) { return out / "seeds.json"; }

// What an earlier command has noted of these runs.
void ReadSeries(const std::filesystem::path& path, std::vector<SeedRun>* runs) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) return;
  try {
    const Json json = Json::parse(ReadFile(path));
    for (const Json& noted : json.at("runs")) {
      for (SeedRun& run : *runs) {
        if (noted.at("seed").get<std::uint64_t>() != run.seed) continue;
        if (noted.at("state") == Name(SeedRun::State::kFinished)) {
          run.state = SeedRun::State::kFinished;
        }
        run.step = noted.at("step").get<std::uint64_t>();
        run.total_steps = noted.at("total_steps").get<std::uint64_t>();
        run.seconds = noted.at("seconds").get<double>();
      }
    }
  } catch (const nlohmann::json::exception&) {
    Fail("{}: is damaged; remove it and go on with --resume auto", path.string());
  }
}

// Runs are told apart by their seeds only where nothing else that matters differs.
void RequireSameRecipe(const SeedRun& run, const SeedSeriesOptions& options) {
  const RunFolder folder{run.folder};
  std::error_code code;
  if (!std::filesystem::exists(folder.config(), code)) return;
  const Recipe recipe = options.load(run.seed);
  CheckRecipe(recipe);  // which completes it
  for (const DifferingSetting& setting :
       DifferingSettings(ReadFile(folder.config()), recipe.ToToml())) {
    // Where the recipe leaves them open, classes are the dataset's, which the run compares itself.
    if (IsOfNoConsequence(setting.key) || setting.key == "model.classes") continue;
    FailUsage("{} holds a run of another recipe: {}; choose another folder with --out",
              run.folder.string(), setting.Text());
  }
}

// From what the run has told.
void ReadAccuracies(SeedRun* run) {
  for (const RunLine& line : RunRecord::Read(run->folder).lines) {
    if (line.group != "val") continue;
    run->last = SeedRun::Accuracy{.top1 = std::stod(line.Value("top1")),
                                  .top5 = std::stod(line.Value("top5"))};
    if (!run->best || run->last->top1 > run->best->top1) run->best = run->last;
  }
}

}  // namespace

std::span<const SeedColumn> SeedColumns() {
  using Number = std::optional<double>;
  static constexpr std::array<SeedColumn, 5> kColumns = {{
      {"best_top1", [](const SeedRun& run) { return run.best ? run.best->top1 : Number(); }},
      {"best_top5", [](const SeedRun& run) { return run.best ? run.best->top5 : Number(); }},
      {"last_top1", [](const SeedRun& run) { return run.last ? run.last->top1 : Number(); }},
      {"last_top5", [](const SeedRun& run) { return run.last ? run.last->top5 : Number(); }},
      {"seconds", [](const SeedRun& run) { return Number(run.seconds); }},
  }};
  return kColumns;
}

std::optional<Spread> SpreadOf(const SeedSeries& series, const SeedColumn& column) {
  std::vector<double> numbers;
  for (const SeedRun& run : series.runs) {
    if (run.state != SeedRun::State::kFinished) continue;
    if (const auto number = column.of(run)) numbers.push_back(*number);
  }
  if (numbers.empty()) return {};
  return millrace::SpreadOf(numbers);
}

std::string ToJson(const SeedSeries& series) {
  Json json;
  json["interrupted"] = series.exit_code == ExitCode::kInterrupted;
  json["runs"] = Json::array();
  for (const SeedRun& run : series.runs) {
    Json row;
    row["seed"] = run.seed;
    row["folder"] = run.folder.filename().string();
    row["state"] = Name(run.state);
    row["step"] = run.step;
    row["total_steps"] = run.total_steps;
    for (const SeedColumn& column : SeedColumns()) {
      if (const auto number = column.of(run)) row[column.name] = *number;
    }
    json["runs"].push_back(std::move(row));
  }
  json["summary"] = Json::object();  // over the runs that are finished
  for (const SeedColumn& column : SeedColumns()) {
    const auto spread = SpreadOf(series, column);
    if (!spread) continue;
    Json& summary = json["summary"][column.name];
    summary["runs"] = spread->count;
    summary["mean"] = spread->mean;
    if (spread->deviation) summary["standard_deviation"] = *spread->deviation;
    summary["min"] = spread->min;
    summary["max"] = spread->max;
  }
  return json.dump(2) + "\n";
}

SeedSeries TrainSeeds(const SeedSeriesOptions& options) {
  SeedSeries series;
  for (const std::uint64_t seed : options.seeds) {
    series.runs.push_back({.seed = seed, .folder = options.out / fmt::format("seed-{}", seed)});
  }
  // By all processes: none of them trains before the others have looked.
  ReadSeries(SeriesPath(options.out), &series.runs);
  for (const SeedRun& run : series.runs) RequireSameRecipe(run, options);
  for (SeedRun& run : series.runs) {
    if (options.keeps && run.state == SeedRun::State::kFinished) ReadAccuracies(&run);
  }
  for (SeedRun& run : series.runs) {
    const bool was_finished = run.state == SeedRun::State::kFinished;
    const std::int64_t begin_ns = NowNs();
    TrainResult result;
    try {
      result = options.train(run, options.resume || was_finished);
    } catch (const Error& error) {
      throw error.Within(fmt::format("seed {}", run.seed));
    }
    if (!was_finished) run.seconds += NsToSeconds(NowNs() - begin_ns);
    run.step = result.step;
    run.total_steps = result.total_steps;
    series.exit_code = result.exit_code;
    const bool stopped = result.exit_code == ExitCode::kInterrupted;
    run.state = stopped ? SeedRun::State::kStopped : SeedRun::State::kFinished;
    if (options.keeps) {
      ReadAccuracies(&run);
      WriteFileAtomically(SeriesPath(options.out), ToJson(series));
    }
    if (stopped) break;
  }
  return series;
}

}  // namespace millrace::pipeline
