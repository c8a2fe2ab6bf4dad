#include "pipeline/trainer.h"

#include <ATen/Version.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/build_info.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/sha256.h"
#include "model/checkpoint.h"
#include "model/deterministic.h"
#include "model/loss.h"
#include "model/metric.h"
#include "model/network.h"
#include "model/precision.h"
#include "model/schedule.h"
#include "model/torchscript.h"
#include "model/weight_average.h"
#include "model/weights.h"
#include "pipeline/batch_plan.h"
#include "pipeline/evaluation.h"
#include "pipeline/gpus.h"
#include "pipeline/graph.h"
#include "pipeline/label_file.h"
#include "pipeline/lane.h"
#include "pipeline/lane_groups.h"
#include "pipeline/loader_stages.h"
#include "pipeline/local_copy.h"
#include "pipeline/node_monitor.h"
#include "pipeline/peers.h"
#include "pipeline/prediction_pictures.h"
#include "pipeline/record_evaluation.h"
#include "pipeline/run_folder.h"
#include "pipeline/run_keeper.h"
#include "pipeline/run_parameters.h"
#include "pipeline/training_run.h"
#include "pipeline/training_setup.h"
#include "tracking/json_lines.h"
#include "tracking/system.h"
#include "tracking/tensorboard.h"
#include "tracking/text_log.h"

namespace millrace::pipeline {
namespace {

using stages::Phase;

std::vector<std::string> PluginTexts(const Recipe& recipe) {
  std::vector<std::string> texts;
  for (const Plugin& plugin : recipe.plugins) texts.push_back(plugin.Text());
  return texts;
}

// Those of plugins, for the run whose folder is `folder`.
std::vector<std::unique_ptr<tracking::Sink>> MakeSinks(const Recipe& recipe,
                                                       const std::filesystem::path& folder) {
  std::vector<std::unique_ptr<tracking::Sink>> sinks;
  for (const Params& section : recipe.sinks) {
    if (recipe.known->sinks.Names().empty()) {
      section.Blame("sink", fmt::format("is \"{}\", but no plugin of this recipe has a sink",
                                        section.Text("sink")));
    }
    sinks.push_back(recipe.known->sinks.Choose(section, "sink")(section, folder));
  }
  return sinks;
}

std::string Environment(const Recipe& recipe, const LoaderStages& loaders,
                        const TrainOptions& options, const Devices& devices,
                        const GraphOptions& graph, const ProgressState& state) {
  nlohmann::ordered_json json;
  json["millrace"] = BuildVersion();
  json["commit"] = BuildCommit();
  if (!recipe.plugins.empty()) json["plugins"] = PluginTexts(recipe);
  json["libtorch"] = TORCH_VERSION;
  json["recipe"] = recipe.name;
  json["dataset"] = std::filesystem::absolute(options.dataset).string();
  json["dataset_fingerprint"] = HashToHex(loaders.train().manifest().fingerprint);
  json["host"] = HostName();
  json["cores"] = AvailableCores();
  json["devices"] = devices.Text();
  json["device_name"] = state.layout.device;
  json["lanes"] = state.layout.lanes;
  json["threads_per_lane"] = state.layout.threads_per_lane;
  json["global_batch"] = state.identity.global_batch;
  json["workers"] = graph.workers;
  json["slots"] = graph.num_slots;
  json["cpu_capability"] = at::get_cpu_capability();
  if (!state.torchscript.empty()) json["torchscript_sha256"] = state.torchscript;
  if (!state.initial_weights.empty()) json["weights_sha256"] = state.initial_weights;
  // Paths may hold any bytes; what is not UTF-8 is shown as a replacement character.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// A run's folder that already holds a run is never written over.
void RequireFreshFolder(const RunFolder& folder) {
  std::error_code code;
  if (std::filesystem::exists(folder.metrics(), code) ||
      std::filesystem::exists(folder.checkpoints(), code)) {
    FailUsage(
        "{} already holds a run: go on with --resume auto, or choose another folder with --out",
        folder.root.string());
  }
}

struct Start {
  ProgressState state;
  std::filesystem::path source;  // of the checkpoint
  std::optional<model::Checkpoint> checkpoint;
};

// Where the run begins: fresh, or from the checkpoint that the options ask for.
Start FindStart(const TrainOptions& options, const RunFolder& folder, const RunIdentity& identity,
                tracking::RunLog& log) {
  Start start;
  start.state.identity = identity;
  std::filesystem::path& source = start.source;
  bool from_elsewhere = false;
  if (options.resume) {
    source = *options.resume;
    std::error_code code;
    from_elsewhere = !std::filesystem::equivalent(std::filesystem::absolute(source).parent_path(),
                                                  folder.checkpoints(), code);
    start.checkpoint = model::ReadCheckpoint(source);
    if (from_elsewhere) RequireFreshFolder(folder);
  } else if (options.resume_newest) {
    model::CheckpointSearch search = model::FindNewestCheckpoint(folder.checkpoints());
    for (const std::string& reason : search.skipped)
      log.Text("passed over a checkpoint: {}", reason);
    if (!search.newest && !search.skipped.empty()) {
      // A fresh start would cut the metrics of a run of which something may still be saved.
      Fail("there is no usable checkpoint in {}; remove the folder to start from the beginning",
           folder.checkpoints().string());
    }
    if (!search.newest) {
      log.Text("no checkpoint in {}: starting from the beginning", folder.checkpoints().string());
      return start;
    }
    source = search.newest->path;
    start.checkpoint = std::move(search.newest->checkpoint);
  } else {
    RequireFreshFolder(folder);
    return start;
  }
  start.state = ProgressState::FromMetadata(start.checkpoint->metadata, source.string());
  start.state.RequireSameRun(identity, source.string());
  start.state.identity = identity;  // at step 0 the checkpoint leaves some of it open
  if (from_elsewhere) {
    // Metrics and best weights up to here stay in the folder of the run that wrote the checkpoint.
    start.state.metrics_bytes = 0;
    start.state.best.clear();
  }
  log.Text("resuming from {} at step {}", source.string(), FormatCount(start.state.step));
  return start;
}

std::string DescribeLayout(const ComputeLayout& layout) {
  return layout.device == "cpu"
             ? fmt::format("{} x {} compute threads", layout.lanes, layout.threads_per_lane)
             : fmt::format("{} x {}", layout.lanes, layout.device);
}

// Says what will be other than in the run that wrote the checkpoint.
void TellDifferences(const ProgressState& before, const Recipe& recipe, const ComputeLayout& layout,
                     const std::string& torchscript, tracking::RunLog& log) {
  if (before.torchscript != torchscript) {
    log.Text("resuming with another file model.torchscript: what it computes may differ");
  }
  for (const DifferingSetting& setting : DifferingSettings(before.config, recipe.ToToml())) {
    log.Text("resuming with another setting: {}", setting.Text());
  }
  if (before.layout.lanes == 0 || before.layout == layout) return;
  log.Text(
      "resuming on {} instead of {}: sums are taken in another order, so that losses and weights "
      "will differ from an undisturbed run's in their last bits",
      DescribeLayout(layout), DescribeLayout(before.layout));
}

std::string StageTable(const StageStats& stats) {
  std::string table =
      fmt::format("{:<11} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}  {}", "stage", "calls", "busy s",
                  "mean ms", "p50 ms", "p90 ms", "p99 ms", "during a train step");
  for (std::size_t i = 0; i < kNumStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    const StageFigures figures = stats.Figures(stage);
    if (figures.calls == 0) continue;
    table += fmt::format("\n{:<11} {:>10} {:>10.2f} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f}",
                         StageName(stage), FormatCount(figures.calls), figures.total_s,
                         figures.mean_ms, figures.p50_ms, figures.p90_ms, figures.p99_ms);
    // The lane's own stages take turns with each other.
    if (stage < Stage::kCopy) {
      table += fmt::format("  {:>18.0f}%", 100.0 * static_cast<double>(figures.overlapped_calls) /
                                               static_cast<double>(figures.calls));
    }
  }
  return table;
}

// Of each class, and no two alike.
std::vector<std::string> DistinctNames(const std::vector<storage::ClassInfo>& classes) {
  std::map<std::string, int> times;
  for (const storage::ClassInfo& info : classes) ++times[info.name];
  std::vector<std::string> names;
  for (const storage::ClassInfo& info : classes) {
    names.push_back(times[info.name] == 1 ? info.name : fmt::format("{} ({})", info.name, info.id));
  }
  return names;
}

// What all processes must agree on before they begin.
void RequireSameRuns(Peers& peers, const Recipe& recipe, const RunIdentity& identity,
                     const ComputeLayout& layout, std::uint32_t lanes) {
  peers.RequireSame("number of devices", std::to_string(lanes));
  peers.RequireSame("kind of device", layout.device);
  peers.RequireSame("number of threads per device", std::to_string(layout.threads_per_lane));
  peers.RequireSame("dataset fingerprint", identity.dataset_fingerprint);
  peers.RequireSame("plugins", fmt::format("{}", fmt::join(PluginTexts(recipe), ", ")));
  const std::string wanted = peers.FromFirst("recipe", recipe.ToToml());
  for (const DifferingSetting& setting : DifferingSettings(wanted, recipe.ToToml())) {
    // Where files lie is each machine's own.
    if (setting.key == "data.path" || setting.key == "data.local_copy" ||
        NamesHashedFiles(setting.key)) {
      continue;
    }
    Fail("the processes of this run have different recipes, of the first and of this one: {}",
         setting.Text());
  }
  peers.Meet("same recipe");
}

// Where the others begin: where the first process says.
Start FollowStart(Peers& peers, const Start& of_first, const RunIdentity& identity) {
  const std::filesystem::path source = peers.FromFirst(
      "checkpoint", of_first.checkpoint ? std::filesystem::absolute(of_first.source).string() : "");
  Start start;
  start.state.identity = identity;
  if (peers.first() || source.empty()) return start;
  start.source = source;
  try {
    start.checkpoint = model::ReadCheckpoint(source);
    start.state = ProgressState::FromMetadata(start.checkpoint->metadata, source.string());
  } catch (const Error& error) {
    throw error.Within(
        "this process cannot go on where the first one does; all must see the run's folder under "
        "the same path");
  }
  start.state.RequireSameRun(identity, source.string());
  start.state.identity = identity;
  return start;
}

// Puts what a checkpoint holds into all replicas.
void LoadCheckpoint(const Start& start, Replicas& replicas) {
  for (Replica& replica : replicas.lanes) {
    model::LoadWeights(*replica.network, start.checkpoint->weights, start.source.string());
    if (replica.average) {
      // A run that goes over to an average begins it with the weights.
      model::LoadWeights(replica.average->network(), start.checkpoint->evaluated(),
                         start.source.string());
    }
    try {
      replica.optimizer->LoadState(start.checkpoint->optimizer);
      // A run that goes over to float16 begins with the scaler's first values.
      if (replica.scaler && !start.checkpoint->scaler.empty()) {
        replica.scaler->LoadState(start.checkpoint->scaler);
      }
    } catch (const Error& error) {
      throw error.Within(start.source.string());
    }
  }
}

// Gives all replicas the weights of `file` that a fresh run begins with; "": their own. Returns a
// line for people.
std::string LoadInitialWeights(const Recipe& recipe, const std::string& file, Start& start,
                               Replicas& replicas) {
  if (file.empty() || start.checkpoint) return "";
  std::error_code code;
  if (!std::filesystem::is_regular_file(file, code)) {
    recipe.params.Section("model").Blame("weights", fmt::format("there is no file {}", file));
  }
  std::string told;
  for (Replica& replica : replicas.lanes) {
    told = model::LoadInitialWeights(*replica.network, file);
    if (replica.average) replica.average->Restart();
  }
  start.state.initial_weights = Sha256OfFile(file);
  return told;
}

TrainResult TrainWith(Peers& peers, const Recipe& recipe, const TrainOptions& options,
                      const Devices& devices, RunKeeper& keeper, tracking::RunLog& log) {
  const RunFolder folder{options.out};
  const std::uint32_t lanes = devices.lanes();
  const std::uint32_t world_size = lanes * peers.count();

  // Everything is made and checked before the folder is touched.
  LoaderStages loaders(recipe, options.dataset);
  RefuseOtherClasses(loaders.train(), recipe);
  if (ShouldBypassPageCache(recipe, loaders.train(), peers.count(), MemoryLimit())) {
    loaders.BypassPageCache();
  }
  const auto classes = static_cast<std::int64_t>(loaders.train().manifest().classes.size());
  RehearseModel(recipe, classes, loaders, /*trains=*/true, /*evaluates=*/loaders.val() != nullptr);
  const BatchSizes batch = ResolveBatch(recipe, world_size);
  CheckRepeats(recipe, batch, world_size);
  BatchPlanOptions plan_options{
      .train_samples = loaders.num_samples(Phase::kTrain),
      .train_eval_samples = loaders.num_samples(Phase::kTrainEval),
      .evaluate_samples = loaders.num_samples(Phase::kEvaluate),
      .per_device = batch.per_device,
      .evaluate_per_device = batch.evaluate_per_device,
      .accumulation = batch.accumulation,
      .lanes = lanes,
      .first_rank = options.placement.process * lanes,
      .world_size = world_size,
      .epochs = recipe.epochs,
      .max_steps = recipe.max_steps,
      .validate_every_epochs = recipe.validate_every_epochs,
  };
  const BatchPlan counts(plan_options);
  GraphOptions graph_options = MakeGraphOptions(recipe, loaders, batch, devices, /*trains=*/true,
                                                /*evaluates=*/loaders.val() != nullptr);
  graph_options.on_more_slots = [&log](const MoreSlots& more) {
    log.Text("{}", DescribeMoreSlots(more));
  };
  graph_options.on_workers = [&log](const WorkersAtWork& change) {
    log.Text("{}", DescribeWorkers(change));
  };
  const ComputeLayout layout{
      .lanes = world_size,
      .threads_per_lane = static_cast<std::uint32_t>(ComputeThreads(devices)),
      .device = DeviceName(devices)};

  const tracking::SystemChoice tracker = tracking::ChooseSystem(recipe.tracking_system);
  const auto loss = model::MakeLoss(recipe.params.Section("loss"), recipe.known->model);
  const model::Metrics metrics =
      model::MakeMetrics(recipe.params.Section("evaluation"), classes, recipe.known->model);
  Replicas replicas = MakeReplicas(recipe, classes, devices, counts);
  std::vector<std::unique_ptr<tracking::Sink>> sinks = MakeSinks(recipe, folder.root);
  const std::string weights = model::InitialWeightsFile(recipe.params.Section("model"));
  recipe.RefuseUnknown();
  LocalCopy local_copy(recipe, options.dataset, loaders);

  const RunIdentity identity{
      .dataset_fingerprint = HashToHex(loaders.train().manifest().fingerprint),
      .model = replicas.lanes[0].network->name(),
      .classes = static_cast<std::uint64_t>(classes),
      .seed = recipe.seed,
      .global_batch = counts.global_batch()};
  RequireSameRuns(peers, recipe, identity, layout, lanes);
  const std::string torchscript = model::TorchScriptHash(recipe.params.Section("model"));
  peers.RequireSame("file model.torchscript", torchscript);
  // Taken before anything of the folder is read, and as soon as there is a folder.
  Start start;
  std::string began_with;
  if (peers.first()) {
    if (std::error_code code; std::filesystem::is_directory(folder.root, code)) keeper.Lock();
    start = FindStart(options, folder, identity, log);
    began_with = LoadInitialWeights(recipe, weights, start, replicas);
    if (!keeper.locked()) {
      CreateFolders(folder.root);
      keeper.Lock();
      RequireFreshFolder(folder);
    }
    if (start.checkpoint) TellDifferences(start.state, recipe, layout, torchscript, log);
  }
  if (Start others = FollowStart(peers, start, identity); !peers.first()) {
    start = std::move(others);
    LoadInitialWeights(recipe, weights, start, replicas);
  }
  start.state.config = recipe.ToToml();
  start.state.layout = layout;
  start.state.torchscript = torchscript;
  if (start.checkpoint) {
    LoadCheckpoint(start, replicas);
  } else if (recipe.start_by_validation) {
    start.state.evaluation_pending = true;
  }
  start.checkpoint.reset();
  peers.Meet("loaded");

  TrainResult result;
  result.step = start.state.step;
  result.total_steps = counts.total_steps();
  const bool out_of_patience = OutOfPatience(recipe, start.state);
  if ((start.state.step >= counts.total_steps() || out_of_patience) &&
      !start.state.evaluation_pending) {
    log.Text("nothing to do: {}",
             out_of_patience
                 ? fmt::format("train.patience has ended the run at step {}",
                               FormatCount(start.state.step))
                 : fmt::format("all {} steps are done", FormatCount(counts.total_steps())));
    result.checkpoint =
        model::CheckpointPath(folder.checkpoints(), static_cast<std::int64_t>(start.state.step));
    if (!start.state.best.empty()) result.best_top1 = start.state.best.front().top1;
    return result;
  }

  if (options.stop_after_step > 0 && start.state.step >= options.stop_after_step) {
    FailUsage("--stop-after {}: the run has done {} steps already", options.stop_after_step,
              FormatCount(start.state.step));
  }
  const tracking::Remote* tracker_told = nullptr;
  if (peers.first()) {
    CreateFolders(folder.checkpoints());
    CreateFolders(folder.best());
    for (const auto& path :
         model::SetAsideNewer(folder.checkpoints(), static_cast<std::int64_t>(start.state.step))) {
      log.Text("the run goes back: the checkpoint of a later step is kept as {}", path.string());
    }
    WriteFileAtomically(folder.config(), recipe.ToToml());
    WriteFileAtomically(folder.environment(),
                        Environment(recipe, loaders, options, devices, graph_options, start.state));
    keeper.Begin(start.state.step, counts.total_steps());
    log.Add(std::make_unique<tracking::TextLog>(folder.log()));
    log.Add(std::make_unique<tracking::JsonLines>(
        folder.metrics(), tracking::Scalars::Kind::kResult, start.state.metrics_bytes));
    std::error_code code;
    const std::uint64_t timings_bytes = std::filesystem::file_size(folder.timings(), code);
    log.Add(std::make_unique<tracking::JsonLines>(
        folder.timings(), tracking::Scalars::Kind::kTiming, code ? 0 : timings_bytes));
    log.Add(std::make_unique<tracking::TensorBoard>(
        folder.root, tracking::ResumePoint{.step = start.state.step,
                                           .evaluation_pending = start.state.evaluation_pending,
                                           .resumed = !start.source.empty()}));
    if (auto remote = tracking::MakeRemote(
            tracker.system,
            {.name = recipe.name,
             .dataset = std::filesystem::absolute(options.dataset),
             .fingerprint = identity.dataset_fingerprint,
             .command = options.command,
             .before = start.state.tracker_run},
            folder.root, [&log](const std::string& line) { log.Text("{}", line); })) {
      tracker_told = remote.get();
      log.Add(std::move(remote));
    }
    for (std::unique_ptr<tracking::Sink>& sink : sinks) log.Add(std::move(sink));
    log.Text("{}", tracker.why);
    for (const std::string& note : options.notes) log.Text("{}", note);
    log.Emit(RunParameters(recipe));
    log.Emit(tracking::Status{
        .state = tracking::Status::State::kRunning, .step = start.state.step, .reason = ""});
    for (const auto& path : {folder.config(), folder.environment()}) {
      log.Emit(tracking::Artifact{.name = path.filename().string(),
                                  .path = std::filesystem::absolute(path)});
    }
  }

  log.Text(
      "training {} on {} ({} images, {} classes): {} epochs of {} steps, global batch {} = {} x {} "
      "devices x "
      "accumulation {}",
      identity.model, options.dataset.string(), FormatCount(loaders.num_samples(Phase::kTrain)),
      classes, recipe.epochs, FormatCount(counts.steps_per_epoch()), counts.global_batch(),
      batch.per_device, world_size, batch.accumulation);
  if (!began_with.empty()) log.Text("{}", began_with);
  if (!devices.choice.empty()) log.Text("{}", devices.choice);
  log.Text("{}; {}, {}; run folder {}", DescribeGraph(recipe, graph_options, lanes),
           devices.gpus.empty()
               ? fmt::format("{} compute threads per device", layout.threads_per_lane)
               : layout.device,
           replicas.precision.Text(), folder.root.string());

  if (loaders.bypasses_page_cache()) log.Text("{}", DescribeBypass(loaders.train()));

  plan_options.first_step = start.state.step;
  plan_options.evaluate_first = start.state.evaluation_pending;
  ReadAhead plan(BatchPlan(plan_options),
                 MakeReadAheadOptions(recipe, loaders, loaders.train(), batch.per_device, log));
  std::optional<PredictionPictures> pictures;
  if (peers.first() && recipe.pictures > 0) pictures.emplace(loaders, log);
  const auto keep_evaluation = [&](const model::EvaluationResult& found, std::uint64_t step,
                                   std::uint32_t epoch) {
    try {
      WriteFileAtomically(
          folder.evaluation(),
          RecordEvaluation(found, loaders, recipe.val->split, step, epoch).ToJson());
    } catch (const std::exception& error) {
      log.Text("the report will lack this evaluation: {}", error.what());
    }
  };
  Stop stop;
  StageStats stats;
  TrainingRun run({.recipe = recipe,
                   .folder = folder,
                   .plan = counts,
                   .schedule = std::move(replicas.schedule),
                   .classes = classes,
                   .evaluate_per_device = batch.evaluate_per_device,
                   .lanes = lanes,
                   .world_size = world_size,
                   .keeps = peers.first(),
                   .interrupt = peers.interrupt(),
                   .stop_after_step = options.stop_after_step,
                   .log = log,
                   .stop = stop,
                   .stats = stats,
                   .pictures = pictures ? &*pictures : nullptr,
                   .on_evaluation = keep_evaluation,
                   .class_names = DistinctNames(loaders.train().manifest().classes),
                   .tracker = tracker_told,
                   .resumed_from = start.source},
                  std::move(start.state));
  NodeMonitor nodes(peers,
                    {.placement = options.placement,
                     .bus_ids = devices.gpus.empty() ? std::vector<std::string>{} : BusIds(devices),
                     .disk = folder.root,
                     .now = [&run] { return run.moment(); }},
                    log);
  const std::chrono::seconds timeout(recipe.stall_timeout_s);
  LaneGroups groups(peers.MakeWorld(timeout), ReplicasOf(replicas, devices), /*trains=*/true, stop);
  const Peers::Watched watched = peers.Watch(stop, groups, timeout);
  std::map<Phase, model::EvaluationResult::Options> evaluations;
  for (const PlannedEvaluation& evaluation : counts.validation()) {
    evaluations[evaluation.phase] = {.samples = evaluation.samples,
                                     .notable = recipe.pictures,
                                     .curves = evaluation.phase == Phase::kEvaluate,
                                     .metrics = &metrics};
  }
  std::vector<std::unique_ptr<Lane>> made_lanes;
  std::vector<LaneWork*> lane_work;
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    Replica& replica = replicas.lanes[lane];
    made_lanes.push_back(std::make_unique<Lane>(Lane::Parts{
        .lane = lane,
        .accumulation = batch.accumulation,
        .device = MakeLaneDevice(recipe, devices, lane, replicas.precision, loaders, log),
        .network = std::move(replica.network),
        .optimizer = std::move(replica.optimizer),
        .scaler = std::move(replica.scaler),
        .average = std::move(replica.average),
        .amp = replicas.precision.amp,
        .evaluations = evaluations,
        .loss = *loss,
        .mixing = replicas.mixing,
        .run = run,
        .group = groups.of(lane)}));
    lane_work.push_back(made_lanes.back().get());
  }
  local_copy.Start(log);
  std::optional<ExitCode> ended_by_first;
  try {
    RunGraph(
        graph_options, [&plan] { return plan.Next(); }, loaders, lane_work, stop, stats);
  } catch (const model::LostRank&) {
    ended_by_first = peers.EndedByFirst(/*waits=*/true);
    if (!ended_by_first) throw;
  }
  local_copy.Stop();
  // An interruption between batches of an evaluation is the first process's alone, and so is what
  // an evaluation has found.
  if (run.interrupted()) peers.TellEnd(ExitCode::kInterrupted);
  if (peers.first() && run.out_of_patience()) peers.TellEnd(ExitCode::kDone);
  nodes.Stop();
  peers.Meet("ended");
  nodes.TellRest();
  if (pictures) pictures->Finish();

  if (!ended_by_first) ended_by_first = peers.EndedByFirst(/*waits=*/false);
  result.exit_code =
      run.interrupted() ? ExitCode::kInterrupted : ended_by_first.value_or(ExitCode::kDone);
  result.step = run.state().step;
  result.checkpoint = run.last_checkpoint();
  result.top1 = run.last_top1();
  if (!run.state().best.empty()) result.best_top1 = run.state().best.front().top1;
  if (run.training_seconds() > 0) {
    result.images_per_s = static_cast<double>(run.trained_samples()) / run.training_seconds();
    result.data_wait_share = run.data_wait_share();
  }
  result.resident_bytes = ReadResidentMemory().beyond_page_cache();
  for (std::size_t i = 0; i < kNumStages; ++i)
    result.stages[i] = stats.Figures(static_cast<Stage>(i));
  log.Text("{}", StageTable(stats));
  log.Text(
      "{:.1f} images/s in training; the train step waited for data {:.2f}% of the time; {} of "
      "memory",
      result.images_per_s, 100 * result.data_wait_share, FormatBytes(result.resident_bytes));
  if (run.interrupted()) {
    log.Text("interrupted at step {} of {}; checkpoint {}; go on with --resume auto",
             FormatCount(result.step), FormatCount(result.total_steps), result.checkpoint.string());
  }
  if (peers.first() && !run.interrupted()) {
    log.Emit(tracking::Artifact{.name = "checkpoints/" + result.checkpoint.filename().string(),
                                .path = std::filesystem::absolute(result.checkpoint)});
  }
  log.Emit(tracking::Status{.state = run.interrupted() ? tracking::Status::State::kInterrupted
                                                       : tracking::Status::State::kFinished,
                            .step = result.step,
                            .reason = ""});
  // A log that could not be written fails the run.
  log.Flush();
  return result;
}

// The file's labels for the samples of an evaluation, by their position there.
model::OtherLabels ReadOtherLabels(const std::filesystem::path& file, const LoaderStages& loaders) {
  std::vector<std::vector<std::int64_t>> of_split = ReadLabelFile(file, *loaders.val());
  model::OtherLabels labels(loaders.num_samples(Phase::kEvaluate));
  for (std::uint64_t position = 0; position < labels.size(); ++position) {
    labels[position] = std::move(of_split[loaders.EvaluatedSample(Phase::kEvaluate, position)]);
  }
  return labels;
}

std::uint64_t HashOf(const model::OtherLabels& labels) {
  Hasher hasher;
  for (const std::vector<std::int64_t>& of_sample : labels) {
    hasher.AddU64(of_sample.size());
    for (const std::int64_t label : of_sample) hasher.AddU64(static_cast<std::uint64_t>(label));
  }
  return hasher.Digest();
}

EvaluateResult EvaluateWith(Peers& peers, const Recipe& recipe, const EvaluateOptions& options,
                            const Devices& devices, tracking::RunLog& log) {
  if (!recipe.val) {
    recipe.params.Section("data").Blame("val",
                                        "is missing; an evaluation needs a validation loader");
  }
  if (!devices.choice.empty()) log.Text("{}", devices.choice);
  LoaderStages loaders(recipe, options.dataset, {Phase::kEvaluate});
  RefuseOtherClasses(*loaders.val(), recipe);
  const auto classes = static_cast<std::int64_t>(loaders.val()->manifest().classes.size());
  RehearseModel(recipe, classes, loaders, /*trains=*/false, /*evaluates=*/true);
  const std::uint32_t lanes = devices.lanes();
  const std::uint32_t world_size = lanes * peers.count();
  const BatchSizes batch = ResolveBatch(recipe, world_size);
  GraphOptions graph_options = MakeGraphOptions(recipe, loaders, batch, devices,
                                                /*trains=*/false, /*evaluates=*/true);
  model::UseDeterministicKernels(recipe.deterministic);
  const model::Precision precision = UsePrecision(recipe);
  const auto loss = model::MakeLoss(recipe.params.Section("loss"), recipe.known->model);
  const model::Metrics metrics =
      model::MakeMetrics(recipe.params.Section("evaluation"), classes, recipe.known->model);

  const BatchPlanOptions plan_options{.evaluate_samples = loaders.num_samples(Phase::kEvaluate),
                                      .evaluate_per_device = batch.evaluate_per_device,
                                      .lanes = lanes,
                                      .first_rank = options.placement.process * lanes,
                                      .world_size = world_size,
                                      .evaluate_only = true};
  const std::uint64_t num_batches = BatchPlan(plan_options).evaluation(Phase::kEvaluate).batches;
  std::optional<model::OtherLabels> labels;
  if (!options.labels.empty()) labels = ReadOtherLabels(options.labels, loaders);

  Stop stop;
  StageStats stats;
  std::atomic<std::uint64_t> done{0};
  std::vector<std::unique_ptr<LaneDevice>> lane_devices;
  std::vector<std::unique_ptr<model::Network>> networks;
  std::vector<LaneGroups::Replica> replicas;
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    networks.push_back(model::MakeNetwork(recipe.params.Section("model"), classes, recipe.seed,
                                          recipe.known->model));
    model::LoadWeights(*networks[lane], options.weights);
    lane_devices.push_back(MakeLaneDevice(recipe, devices, lane, precision, loaders, log));
    networks[lane]->MoveTo(lane_devices[lane]->device());
    replicas.push_back({.network = networks[lane].get(), .device = lane_devices[lane]->device()});
  }
  peers.RequireSame("number of devices", std::to_string(lanes));
  peers.RequireSame("dataset fingerprint", HashToHex(loaders.val()->manifest().fingerprint));
  peers.RequireSame("list of other labels", labels ? HashToHex(HashOf(*labels)) : "none");
  peers.Meet("loaded");
  const std::chrono::seconds timeout(recipe.stall_timeout_s);
  LaneGroups groups(peers.MakeWorld(timeout), replicas, /*trains=*/false, stop);
  const Peers::Watched watched = peers.Watch(stop, groups, timeout);
  std::vector<std::unique_ptr<EvaluationLane>> evaluation_lanes;
  std::vector<LaneWork*> lane_work;
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    const auto on_batch = [&](std::uint64_t samples) {
      log.Emit(tracking::Progress{.label = "evaluate",
                                  .done = done += samples,
                                  .total = plan_options.evaluate_samples,
                                  .unit = "images",
                                  .detail = ""});
      if (peers.interrupt() != nullptr && *peers.interrupt()) stop.Request();
    };
    evaluation_lanes.push_back(std::make_unique<EvaluationLane>(EvaluationLane::Parts{
        .device = std::move(lane_devices[lane]),
        .network = std::move(networks[lane]),
        .loss = *loss,
        .amp = precision.amp,
        .wanted = {.samples = plan_options.evaluate_samples,
                   .other_labels = labels ? &*labels : nullptr,
                   .metrics = &metrics},
        .group = groups.of(lane),
        .evaluating_ranks =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(world_size, num_batches)),
        .on_batch = on_batch}));
    lane_work.push_back(evaluation_lanes.back().get());
  }
  ReadAhead plan(BatchPlan(plan_options), MakeReadAheadOptions(recipe, loaders, *loaders.val(),
                                                               batch.evaluate_per_device, log));
  RunGraph(
      graph_options, [&plan] { return plan.Next(); }, loaders, lane_work, stop, stats);
  const EvaluateResult result{.counts = evaluation_lanes[0]->result().counts(),
                              .by_other_labels = evaluation_lanes[0]->result().by_other_labels(),
                              .metrics = evaluation_lanes[0]->result().MetricValues()};
  const bool interrupted = peers.interrupt() != nullptr && *peers.interrupt();
  if (interrupted ||
      (peers.first() &&
       result.counts.samples() != static_cast<std::int64_t>(plan_options.evaluate_samples))) {
    Fail("the evaluation was interrupted after {} of {} images", FormatCount(done.load()),
         FormatCount(plan_options.evaluate_samples));
  }
  peers.Meet("ended");
  return result;
}

}  // namespace

TrainResult Train(const Recipe& recipe, const TrainOptions& options, tracking::RunLog& log) {
  const Devices devices = ShareOf(options.devices, options.placement);
  Peers peers(options.placement, devices.lanes(), options.interrupt, options.store);
  tracking::RunLog nobodys;
  TrainResult result;
  RunKeeper keeper(RunFolder{options.out}, log);
  try {
    peers.Together([&] {
      result = TrainWith(peers, recipe, options, devices, keeper, peers.first() ? log : nobodys);
    });
  } catch (const std::exception& error) {
    keeper.End(RunStatus::State::kFailed, {}, error.what());
    throw;
  }
  keeper.End(result.exit_code == ExitCode::kInterrupted ? RunStatus::State::kInterrupted
                                                        : RunStatus::State::kFinished,
             result.step, "");
  return result;
}

std::optional<EvaluateResult> Evaluate(const Recipe& recipe, const EvaluateOptions& options,
                                       tracking::RunLog& log) {
  const Devices devices = ShareOf(options.devices, options.placement);
  Peers peers(options.placement, devices.lanes(), options.interrupt);
  tracking::RunLog nobodys;
  std::optional<EvaluateResult> result;
  peers.Together([&] {
    result = EvaluateWith(peers, recipe, options, devices, peers.first() ? log : nobodys);
  });
  if (!peers.first()) result.reset();
  return result;
}

void CheckRecipe(const Recipe& recipe) {
  // Counts that only the dataset knows stand in with small numbers; no setting's meaning depends on
  // them.
  constexpr std::int64_t kClasses = 2;
  constexpr std::int64_t kSteps = 1000;
  CheckLoaders(recipe);
  model::ReadPrecision(recipe.params.Section("precision"));
  recipe.params.Section("model").Has("classes");
  model::InitialWeightsFile(recipe.params.Section("model"));
  model::ReadWeightAverage(recipe.params.Section("model"));
  const auto network = model::MakeNetwork(recipe.params.Section("model"), kClasses, recipe.seed,
                                          recipe.known->model);
  const stages::Mixing mixing(recipe.train.mix, recipe.seed);
  const auto loss = model::MakeLoss(recipe.params.Section("loss"), recipe.known->model);
  const auto optimizer = model::MakeOptimizer(recipe.params.Section("optimizer"),
                                              network->parameters(), recipe.known->model);
  model::MakeSchedule(recipe.params.Section("schedule"), optimizer->learning_rate(), kSteps,
                      kSteps * recipe.epochs, recipe.known->model);
  model::MakeMetrics(recipe.params.Section("evaluation"), kClasses, recipe.known->model);
  MakeSinks(recipe, {});
  recipe.RefuseUnknown();
}

}  // namespace millrace::pipeline
