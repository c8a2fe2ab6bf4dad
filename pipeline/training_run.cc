#include "pipeline/training_run.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/process.h"
#include "model/named_tensor.h"
#include "model/weights.h"
#include "pipeline/weight_histograms.h"

namespace millrace::pipeline {

using tracking::Progress;
using tracking::Scalars;

TrainingRun::TrainingRun(Parts parts, ProgressState state)
    : parts_(std::move(parts)),
      state_(std::move(state)),
      logged_steps_(state_.step),
      last_checkpoint_(parts_.resumed_from) {}

std::uint32_t TrainingRun::EpochOf(std::uint64_t steps_done) const {
  const std::uint64_t per_epoch = parts_.plan.steps_per_epoch();
  return static_cast<std::uint32_t>((steps_done + per_epoch - 1) / per_epoch);
}

NodeMonitor::Moment TrainingRun::moment() const {
  const std::uint64_t steps = logged_steps_;
  return {.step = steps, .epoch = EpochOf(steps)};
}

void TrainingRun::FailAsDiverged(const std::string& what) const {
  Fail(
      "{}: the training has diverged; the last good checkpoint is {}; try a smaller "
      "optimizer.lr, a longer warm-up or optimizer.clip_norm",
      what,
      last_checkpoint_.empty() ? "not there (none was written yet)" : last_checkpoint_.string());
}

bool OutOfPatience(const Recipe& recipe, const ProgressState& state) {
  return recipe.patience > 0 && state.validations_without_gain >= recipe.patience;
}

bool TrainingRun::Interrupted(std::uint64_t steps_done) const {
  if (parts_.stop_after_step > 0 && steps_done >= parts_.stop_after_step) return true;
  return parts_.interrupt != nullptr && parts_.interrupt->load(std::memory_order_relaxed);
}

bool TrainingRun::CheckpointDueAfter(std::uint64_t steps_done) const {
  const std::uint64_t every = parts_.recipe.checkpoint_every_steps;
  return every > 0 && steps_done % every == 0;
}

bool TrainingRun::NeedsWeightsAfter(std::uint64_t step) const {
  const std::uint64_t done = step + 1;
  return done == parts_.plan.total_steps() || done == parts_.stop_after_step ||
         EvaluatesAfter(done) || CheckpointDueAfter(done);
}

std::uint32_t TrainingRun::EvaluatingRanks(stages::Phase phase) const {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(parts_.world_size, parts_.plan.evaluation(phase).batches));
}

void TrainingRun::FinishStep(const FinishedStep& finished) {
  const double loss = finished.loss;
  const std::uint64_t step = finished.step;
  if (parts_.keeps && !std::isfinite(loss)) {
    FailAsDiverged(fmt::format("the loss of step {} is {}", FormatCount(step), loss));
  }
  state_.batches = RollBatches(state_.batches, finished.batch_digest);
  Hasher hasher;
  hasher.AddU64(state_.digest);
  hasher.AddU64(state_.batches);
  hasher.AddU64(std::bit_cast<std::uint64_t>(loss));
  state_.digest = hasher.Digest();
  state_.step = step + 1;
  const std::uint64_t steps_per_epoch = parts_.plan.steps_per_epoch();
  state_.epoch = state_.step / steps_per_epoch;
  state_.position = state_.step % steps_per_epoch * parts_.plan.global_batch();
  state_.evaluation_pending = parts_.plan.EvaluatesAfter(state_.step);
  last_loss_ = loss;

  const std::int64_t now_ns = NowNs();
  if (first_step_ns_ == 0) {
    // The first step contains the start-up of the pipeline and of the kernels: it does not count
    // into rates.
    first_step_ns_ = now_ns;
    first_step_ = state_.step;
    first_data_wait_s_ = parts_.stats.DataWaitSeconds();
    since_log_ = {.ns = now_ns, .samples = 0, .data_wait_s = parts_.stats.DataWaitSeconds()};
  } else {
    training_ns_ += now_ns - mark_ns_;
    trained_samples_ += parts_.plan.global_batch();
    since_log_.samples += parts_.plan.global_batch();
  }
  mark_ns_ = now_ns;

  const bool ends = state_.step == parts_.plan.total_steps();
  if (state_.step % parts_.recipe.log_every_steps == 0 || ends) LogStep(loss);
  logged_steps_ = state_.step;
  ShowProgress(loss);

  const bool done = ends && !state_.evaluation_pending;
  const bool due = CheckpointDueAfter(state_.step) && !state_.evaluation_pending;
  // One that comes while the device is further already is heeded at its next step.
  interrupted_ = finished.state != nullptr && finished.interrupted && !done;
  if (due || interrupted_ || done) {
    MILLRACE_CHECK(finished.state != nullptr);
    WriteCheckpoint(*finished.state, /*scheduled=*/due);
  }
  if (interrupted_) parts_.stop.Request();
}

double TrainingRun::data_wait_share() const {
  const double elapsed_s = NsToSeconds(mark_ns_ - first_step_ns_);
  if (elapsed_s <= 0) return 0;
  return (parts_.stats.DataWaitSeconds() - first_data_wait_s_) / elapsed_s /
         static_cast<double>(parts_.lanes);
}

void TrainingRun::LogStep(double loss) {
  const std::uint32_t epoch = EpochOf(state_.step);
  parts_.log.Emit(Scalars{
      .kind = Scalars::Kind::kResult,
      .group = "train",
      .step = state_.step,
      .epoch = epoch,
      .values = {{"loss", loss}, {"lr", LearningRate(state_.step - 1)}},
      .texts = {{"batches", HashToHex(state_.batches)}, {"digest", HashToHex(state_.digest)}}});
  const std::int64_t now_ns = NowNs();
  const double seconds = NsToSeconds(now_ns - since_log_.ns);
  if (seconds <= 0 || since_log_.samples == 0) return;
  const double data_wait_s = parts_.stats.DataWaitSeconds();
  parts_.log.Emit(Scalars{
      .kind = Scalars::Kind::kTiming,
      .group = "train",
      .step = state_.step,
      .epoch = epoch,
      .values = {{"images_per_s", static_cast<double>(since_log_.samples) / seconds},
                 {"data_wait_share", (data_wait_s - since_log_.data_wait_s) / seconds /
                                         static_cast<double>(parts_.lanes)},
                 {"resident_mib",
                  static_cast<double>(ReadResidentMemory().beyond_page_cache()) / (1 << 20)}},
      .texts = {}});
  since_log_ = {.ns = now_ns, .samples = 0, .data_wait_s = data_wait_s};
}

void TrainingRun::ShowProgress(double loss) {
  const std::uint64_t steps_per_epoch = parts_.plan.steps_per_epoch();
  const std::uint64_t epoch = (state_.step - 1) / steps_per_epoch;
  const std::uint64_t epoch_begin = epoch * steps_per_epoch;
  const std::uint64_t epoch_steps =
      std::min(steps_per_epoch, parts_.plan.total_steps() - epoch_begin);
  double seconds_left = -1;
  std::string rate;
  if (state_.step > first_step_ && training_ns_ > 0) {
    const double elapsed_s = NsToSeconds(NowNs() - first_step_ns_);
    seconds_left = elapsed_s / static_cast<double>(state_.step - first_step_) *
                   static_cast<double>(parts_.plan.total_steps() - state_.step);
    rate = fmt::format("  {:.0f} images/s",
                       static_cast<double>(trained_samples_) / training_seconds());
  }
  parts_.log.Emit(Progress{
      .label = fmt::format("train epoch {}/{}", epoch + 1, parts_.recipe.epochs),
      .done = state_.step - epoch_begin,
      .total = epoch_steps,
      .unit = "steps",
      .detail = fmt::format("loss {:.4f}  lr {:.4g}{}", loss, LearningRate(state_.step - 1), rate),
      .seconds_left = seconds_left});
}

bool TrainingRun::ContinueEvaluation(const stages::Batch& batch, const LaneState& state) {
  if (Interrupted(state_.step)) {
    interrupted_ = true;
    WriteCheckpoint(state, /*scheduled=*/false);
    parts_.stop.Request();
    return false;
  }
  ++evaluation_rounds_;
  const std::uint64_t done =
      evaluation_rounds_ * parts_.world_size * std::uint64_t{parts_.evaluate_per_device};
  const std::uint64_t samples = parts_.plan.evaluation(batch.phase).samples;
  parts_.log.Emit(Progress{
      .label = batch.phase == stages::Phase::kTrainEval ? "validate, training samples" : "validate",
      .done = std::min(done, samples),
      .total = samples,
      .unit = "images",
      .detail = ""});
  return true;
}

void TrainingRun::Tell(const Finding& finding) {
  const model::ClassificationCounts& counts = finding.result.counts();
  const bool of_training = finding.batch.phase == stages::Phase::kTrainEval;
  Scalars told{.kind = Scalars::Kind::kResult,
               .group = of_training ? "train_eval" : "val",
               .step = state_.step,
               .epoch = EpochOf(state_.step),
               .values = {{"top1", counts.Top1Rate()},
                          {"top5", counts.Top5Rate()},
                          {"error", 100 * (1 - counts.Top1Rate())},
                          {"loss", counts.MeanLoss()},
                          {"samples", static_cast<double>(counts.samples())}},
               .texts = {}};
  for (auto& metric : finding.result.MetricValues()) told.values.push_back(std::move(metric));
  parts_.log.Emit(std::move(told));
  if (finding.result.thresholds()) TellCurves(*finding.result.thresholds());
  if (parts_.pictures != nullptr) parts_.pictures->Show(finding.batch, finding.result.notable());
}

bool TrainingRun::FinishEvaluation(const stages::Batch& batch,
                                   const model::EvaluationResult& result, const LaneState& state) {
  const std::vector<PlannedEvaluation>& validation = parts_.plan.validation();
  MILLRACE_CHECK(result.counts().samples() ==
                 static_cast<std::int64_t>(parts_.plan.evaluation(batch.phase).samples));
  evaluation_rounds_ = 0;
  found_.push_back({.batch = batch, .result = result});
  if (found_.size() < validation.size()) return true;
  for (const Finding& finding : found_) Tell(finding);
  found_.clear();
  // Validation samples come last, and they alone say how good the weights are.
  const double top1 = result.counts().Top1Rate();
  last_top1_ = top1;
  if (parts_.recipe.histograms) {
    // Gradients are the last step's; a process that begins with an evaluation has none.
    TellHistograms(state.network, state_.step, /*gradients=*/first_step_ns_ != 0, parts_.log);
  }
  if (parts_.keeps && parts_.on_evaluation) {
    parts_.on_evaluation(result, state_.step, EpochOf(state_.step));
  }
  state_.evaluation_pending = false;
  KeepIfBest(top1, state.evaluated());
  if (top1 > state_.best_top1) {
    state_.best_top1 = top1;
    state_.validations_without_gain = 0;
  } else {
    ++state_.validations_without_gain;
  }
  WriteCheckpoint(state, /*scheduled=*/true);
  mark_ns_ = NowNs();
  if (!out_of_patience() || state_.step == parts_.plan.total_steps()) return true;
  parts_.log.Text(
      "the run ends at step {} of {}: no better top-1 than {:.4f} in the last {} "
      "(train.patience)",
      FormatCount(state_.step), FormatCount(parts_.plan.total_steps()), state_.best_top1,
      state_.validations_without_gain == 1
          ? "validation"
          : fmt::format("{} validations", state_.validations_without_gain));
  parts_.stop.Request();
  return false;
}

void TrainingRun::TellCurves(const model::ThresholdCounts& thresholds) {
  const auto tell = [this](const std::string& name, const model::ThresholdCounts::Curve& curve) {
    const auto numbers = [](const std::vector<std::int64_t>& list) {
      return std::vector<double>(list.begin(), list.end());
    };
    parts_.log.Emit(tracking::PrCurve{.name = "pr_curve/" + name,
                                      .step = state_.step,
                                      .true_positives = numbers(curve.true_positives),
                                      .false_positives = numbers(curve.false_positives),
                                      .true_negatives = numbers(curve.true_negatives),
                                      .false_negatives = numbers(curve.false_negatives)});
  };
  tell("micro-average", thresholds.MicroAverage());
  for (std::int64_t label = 0; label < thresholds.classes_with_curves(); ++label) {
    tell(parts_.class_names[static_cast<std::size_t>(label)], thresholds.OfClass(label));
  }
}

void TrainingRun::KeepIfBest(double top1, const model::Network& network) {
  if (parts_.recipe.checkpoint_best == 0) return;
  const std::string file = fmt::format("step-{:08}-top1-{:.4f}.safetensors", state_.step, top1);
  // Earlier ones stay in front of equal later ones.
  const auto place = std::find_if(state_.best.begin(), state_.best.end(),
                                  [top1](const BestEntry& entry) { return entry.top1 < top1; });
  if (place == state_.best.end() && state_.best.size() >= parts_.recipe.checkpoint_best) return;
  model::SaveWeights(network, parts_.folder.best() / file,
                     {{"step", std::to_string(state_.step)},
                      {"model", state_.identity.model},
                      {"top1", fmt::format("{}", top1)},
                      {"dataset_fingerprint", state_.identity.dataset_fingerprint}});
  state_.best.insert(place, BestEntry{.top1 = top1, .step = state_.step, .file = file});
  while (state_.best.size() > parts_.recipe.checkpoint_best) {
    std::error_code ignored;  // a file that is already gone is as good as removed
    std::filesystem::remove(parts_.folder.best() / state_.best.back().file, ignored);
    state_.best.pop_back();
  }
}

void TrainingRun::WriteCheckpoint(const LaneState& state, bool scheduled) {
  if (!parts_.keeps) return;
  const std::vector<model::NamedTensor> weights = model::ToHost(state.network.state());
  // A loss tells of its step's weights only a step later, when this would have replaced the last
  // good one.
  for (const auto& tensors : {weights, state.optimizer.StateTensors()}) {
    if (const std::string name = model::FirstNotFinite(tensors); !name.empty()) {
      FailAsDiverged(fmt::format("{} is not finite after step {}", name, FormatCount(state_.step)));
    }
  }
  if (scheduled) {
    parts_.log.Emit(Scalars{.kind = Scalars::Kind::kResult,
                            .group = "checkpoint",
                            .step = state_.step,
                            .epoch = EpochOf(state_.step),
                            .values = {},
                            .texts = {{"weights", HashToHex(model::HashTensors(weights))}}});
  }
  // What was logged until now belongs to the checkpoint.
  parts_.log.Flush();
  std::error_code code;
  state_.metrics_bytes = std::filesystem::file_size(parts_.folder.metrics(), code);
  if (code)
    Fail("cannot read the size of {}: {}", parts_.folder.metrics().string(), code.message());
  if (parts_.tracker != nullptr) state_.tracker_run = parts_.tracker->ForCheckpoint();
  const std::filesystem::path path =
      model::CheckpointPath(parts_.folder.checkpoints(), static_cast<std::int64_t>(state_.step));
  model::Checkpoint checkpoint{.weights = weights,
                               .optimizer = state.optimizer.StateTensors(),
                               .metadata = state_.ToMetadata()};
  if (state.average != nullptr) checkpoint.average = state.average->state();
  if (state.scaler != nullptr) checkpoint.scaler = state.scaler->StateTensors();
  model::WriteCheckpoint(path, checkpoint);
  last_checkpoint_ = path;
  model::PruneCheckpoints(parts_.folder.checkpoints(), parts_.recipe.checkpoint_keep);
}

}  // namespace millrace::pipeline
