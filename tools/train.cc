#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/shell.h"
#include "pipeline/peers.h"
#include "pipeline/seed_series.h"
#include "pipeline/trainer.h"
#include "pipeline/verify_resume.h"
#include "tools/command.h"
#include "tools/recipe_options.h"
#include "tools/run_comparison.h"
#include "tools/seeds.h"
#include "tracking/console.h"
#include "tracking/run_log.h"
#include "tracking/system.h"

namespace millrace::tools {
namespace {

struct Options {
  RecipeOptions recipe;
  std::string out;
  std::string resume;
  std::string seeds;
  std::string devices = "auto";
  std::uint64_t stop_after = 0;
  bool verify_resume = false;
  bool json = false;
  // Settings that a tracker's pages have changed about the run that it starts; they win.
  std::vector<std::string> changed = {};
};

nlohmann::ordered_json ToJson(const pipeline::TrainResult& result) {
  nlohmann::ordered_json json;
  json["step"] = result.step;
  json["total_steps"] = result.total_steps;
  json["interrupted"] = result.exit_code == ExitCode::kInterrupted;
  json["checkpoint"] = result.checkpoint.string();
  if (result.top1) json["top1"] = *result.top1;
  if (result.best_top1) json["best_top1"] = *result.best_top1;
  json["images_per_s"] = result.images_per_s;
  json["data_wait_share"] = result.data_wait_share;
  json["resident_bytes"] = result.resident_bytes;
  for (std::size_t i = 0; i < pipeline::kNumStages; ++i) {
    const pipeline::StageFigures& figures = result.stages[i];
    json["stages"][std::string(pipeline::StageName(static_cast<pipeline::Stage>(i)))] = {
        {"calls", figures.calls},     {"overlapped_calls", figures.overlapped_calls},
        {"total_s", figures.total_s}, {"mean_ms", figures.mean_ms},
        {"p50_ms", figures.p50_ms},   {"p90_ms", figures.p90_ms},
        {"p99_ms", figures.p99_ms}};
  }
  return json;
}

// The run, with the log told how it ended.
pipeline::TrainResult Train(const pipeline::Recipe& recipe, const pipeline::TrainOptions& options) {
  tracking::RunLog log;
  log.Add(std::make_unique<tracking::Console>());
  try {
    pipeline::TrainResult result = pipeline::Train(recipe, options, log);
    log.Finish();
    return result;
  } catch (const std::exception& error) {
    try {
      log.Emit(tracking::Status{
          .state = tracking::Status::State::kFailed, .step = 0, .reason = error.what()});
      log.Finish();
    } catch (const std::exception&) {
      // The log cannot be written: what has ended the run is worth more.
    }
    throw;
  }
}

std::string ThisProgram() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

// The words of the command line that say what to train, on what.
std::vector<std::string> Words(const Options& options) {
  std::vector<std::string> words = {"train", options.recipe.config, "--devices", options.devices};
  for (const std::string& setting : options.recipe.overrides) {
    words.insert(words.end(), {"--set", setting});
  }
  if (!options.recipe.data.empty()) words.insert(words.end(), {"--data", options.recipe.data});
  return words;
}

// What an agent of a tracker starts to have the same run again (tracking::RunDescription).
std::string Again(const Options& options, const std::filesystem::path& out) {
  std::vector<std::string> words = Words(options);
  words.insert(words.begin(), ThisProgram());
  const std::filesystem::path beside = std::filesystem::absolute(out).parent_path() / "clearml-";
  return fmt::format("cd {} && exec {} --resume auto --out {}\"$CLEARML_TASK_ID\"",
                     ShellWord(std::filesystem::current_path().string()), ShellWords(words),
                     ShellWord(beside.string()));
}

pipeline::Recipe LoadRecipe(const Options& options) {
  RecipeOptions recipe = options.recipe;
  recipe.overrides.insert(recipe.overrides.end(), options.changed.begin(), options.changed.end());
  return recipe.Load();
}

ExitCode VerifyResume(const Options& options) {
  if (!options.resume.empty() || options.stop_after > 0) {
    FailUsage("--verify-resume stops and resumes by itself; leave out --resume and --stop-after");
  }
  if (!options.seeds.empty()) FailUsage("--verify-resume is for one seed; leave out --seeds");
  if (pipeline::ThisPlacement().num_processes > 1) {
    FailUsage(
        "--verify-resume starts processes itself; start it alone, with --devices for several");
  }
  const pipeline::Recipe recipe = options.recipe.Load();
  pipeline::VerifyResumeOptions verify{
      .program = ThisProgram(),
      .arguments = Words(options),
      .out = options.out.empty() ? std::filesystem::path("runs") / (recipe.name + "-verify-resume")
                                 : std::filesystem::path(options.out),
      .seed = recipe.seed,
      .interrupt = &CatchInterrupts()};
  // No run that a tracker need know of.
  verify.arguments.insert(verify.arguments.end(), {"--set", "tracking.system=none"});
  const pipeline::VerifyResumeResult result = pipeline::VerifyResume(verify);
  if (options.json) {
    nlohmann::ordered_json json = tools::ToJson(result.comparison);
    json["stops"] = result.stops;
    // Paths may hold any bytes; what is not UTF-8 is shown as a replacement character.
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("A: undisturbed, B: stopped and resumed after steps {}\n",
               fmt::join(result.stops, ", "));
    Print(result.comparison);
  }
  return ExitCodeOf(result.comparison);
}

// Where runs of this command go unless --out says it.
std::filesystem::path FolderOf(const Options& options, const pipeline::Recipe& recipe) {
  return options.out.empty() ? std::filesystem::path("runs") / recipe.name
                             : std::filesystem::path(options.out);
}

// One run, into the folder `out`.
pipeline::TrainResult TrainOne(const Options& options, const std::filesystem::path& out,
                               const std::vector<std::string>& notes,
                               const pipeline::Placement& placement,
                               const model::Store* store = nullptr) {
  const pipeline::Recipe recipe = LoadRecipe(options);
  pipeline::TrainOptions train{.dataset = options.recipe.Dataset(recipe),
                               .out = out,
                               .devices = pipeline::Devices::Parse(options.devices),
                               .placement = placement,
                               .store = store,
                               .resume = {},
                               .resume_newest = options.resume == "auto",
                               .command = Again(options, out),
                               .notes = notes,
                               .interrupt = &CatchInterrupts(),
                               .stop_after_step = options.stop_after};
  if (!options.resume.empty() && !train.resume_newest) {
    if (std::filesystem::is_directory(options.resume)) {
      FailUsage(
          "--resume {}: is a folder; name one of its checkpoints, or write --out {} --resume auto",
          options.resume, options.resume);
    }
    train.resume = options.resume;
  }
  return Train(recipe, train);
}

// What runs one after another share, they would write over each other.
void RefuseOneRunForAll(const Options& options, const pipeline::Recipe& recipe) {
  if (!options.resume.empty() && options.resume != "auto") {
    FailUsage("--seeds: each seed has checkpoints of its own; write --resume auto");
  }
  const std::string variable =
      tracking::VariableOfTheRun(tracking::ChooseSystem(recipe.tracking_system).system);
  if (variable.empty()) return;
  FailUsage(
      "--seeds: {} names one run for all seeds; unset it, or start each seed by itself, with --set "
      "seed=N and --out",
      variable);
}

ExitCode TrainSeeds(const Options& options) {
  const pipeline::Recipe recipe = LoadRecipe(options);
  RefuseOneRunForAll(options, recipe);
  const pipeline::Placement placement = pipeline::ThisPlacement();
  const std::vector<std::uint64_t> seeds = ParseSeeds(options.seeds, recipe.seed);
  const std::filesystem::path out = FolderOf(options, recipe);
  const model::Store store = pipeline::OpenStore(placement);
  const auto with_seed = [&](std::uint64_t seed) {
    Options one = options;
    one.recipe.overrides.push_back(fmt::format("seed={}", seed));
    return one;
  };
  const pipeline::SeedSeries series = pipeline::TrainSeeds(
      {.out = out,
       .seeds = seeds,
       .resume = options.resume == "auto",
       .keeps = placement.process == 0,
       .load = [&](std::uint64_t seed) { return LoadRecipe(with_seed(seed)); },
       .train =
           [&](const pipeline::SeedRun& run, bool resume) {
             Options one = with_seed(run.seed);
             one.resume = resume ? "auto" : "";
             pipeline::Placement of_run = placement;
             of_run.run_id += fmt::format("/seed-{}", run.seed);
             const std::string which =
                 fmt::format("seed {} of {} in {}", run.seed, fmt::join(seeds, ", "), out.string());
             return TrainOne(one, run.folder, {which}, of_run, &store);
           }});
  if (placement.process > 0) return series.exit_code;
  if (options.json) {
    fmt::print("{}", pipeline::ToJson(series));
  } else {
    Print(series);
  }
  return series.exit_code;
}

ExitCode Run(Options options) {
  if (options.verify_resume) return VerifyResume(options);
  KeepTensorMemory();
  // When the program at the other end of a pipe ends, as tee may, the run goes on without it.
  std::signal(SIGPIPE, SIG_IGN);
  if (!options.seeds.empty()) return TrainSeeds(options);
  const std::string system = tracking::ChooseSystem(options.recipe.Load().tracking_system).system;
  options.changed = tracking::SettingsFromSystem(system);
  std::vector<std::string> notes;
  for (const std::string& setting : options.changed) {
    notes.push_back(fmt::format("changed in {}'s pages: {}", system, setting));
  }
  const pipeline::Placement placement = pipeline::ThisPlacement();
  const pipeline::TrainResult result =
      TrainOne(options, FolderOf(options, LoadRecipe(options)), notes, placement);
  if (placement.process > 0) return result.exit_code;
  if (options.json) {
    // A path may hold any bytes; what is not UTF-8 is shown as a replacement character.
    fmt::print("{}\n",
               ToJson(result).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (result.top1) {
    fmt::print("top-1 {:.4f}  best {:.4f}  {}\n", *result.top1,
               result.best_top1.value_or(*result.top1), result.checkpoint.string());
  }
  return result.exit_code;
}

}  // namespace

void AddTrain(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "train a recipe on a converted dataset");
  options->recipe.AddTo(*command);
  command->add_option("--out", options->out,
                      "the run's folder (default: runs/<name of the recipe>)");
  command->add_option(
      "--resume", options->resume,
      "auto: go on from the newest checkpoint of --out; or the path of a checkpoint");
  command->add_option(
      "--seeds", options->seeds,
      "one run after another with the seeds 0,1,2, or with so many from the recipe's on, each into "
      "seed-N of --out, and their mean and spread; finished ones are passed over");
  command->add_option("--devices", options->devices, kDevicesHelp)->capture_default_str();
  command
      ->add_option("--stop-after", options->stop_after,
                   "end behind this step, counted from 1, with a checkpoint and exit code 3")
      ->check(CLI::Range(std::int64_t{1}, std::numeric_limits<std::int64_t>::max()));
  command->add_flag("--verify-resume", options->verify_resume,
                    "train undisturbed, then again with stops at random steps, into two folders of "
                    "--out, and compare: exit code 0 when both are the same, bit for bit");
  command->add_flag("--json", options->json, "print the result as one JSON object");
  command->footer(
      "Examples:\n"
      "  millrace train configs/imagenette-resnet18-64px-cpu.toml --data data/imagenette --out "
      "runs/a\n"
      "  millrace train configs/imagenette-resnet18-64px-cpu.toml --data data/imagenette --out "
      "runs/a --resume auto\n"
      "  millrace train my.toml --set optimizer.lr=0.05 --set train.epochs=10\n"
      "  millrace train my.toml --seeds 3 --out runs/three --resume auto\n"
      "Ctrl-C, SIGTERM or a lost terminal ends after the step under way with a checkpoint and exit "
      "code 3.");
  command->callback([options, &action] { action = [options] { return Run(*options); }; });
}

}  // namespace millrace::tools
