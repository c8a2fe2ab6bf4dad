// What all lanes of a training run share: its progress, its log, its checkpoints and the running
// evaluation.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/evaluation_result.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/schedule.h"
#include "pipeline/batch_plan.h"
#include "pipeline/lane_run.h"
#include "pipeline/node_monitor.h"
#include "pipeline/prediction_pictures.h"
#include "pipeline/progress_state.h"
#include "pipeline/recipe.h"
#include "pipeline/run_folder.h"
#include "pipeline/stage_stats.h"
#include "pipeline/stop.h"
#include "tracking/remote.h"
#include "tracking/run_log.h"

namespace millrace::pipeline {

// Whether validations have not brought a better top-1 for as long as the recipe waits.
bool OutOfPatience(const Recipe& recipe, const ProgressState& state);

class TrainingRun final : public LaneRun {
 public:
  struct Parts {
    const Recipe& recipe;
    RunFolder folder;
    BatchPlan plan;  // for its counts; the graph has its own copy to take batches from
    std::unique_ptr<model::Schedule> schedule;
    std::int64_t classes = 0;
    std::uint32_t evaluate_per_device = 0;
    std::size_t lanes = 1;         // of this process
    std::uint32_t world_size = 1;  // lanes of all processes
    // Whether it logs, writes into the folder and judges losses: in the process of rank 0 alone.
    bool keeps = true;
    const std::atomic<bool>* interrupt = nullptr;
    std::uint64_t stop_after_step = 0;  // as TrainOptions has it
    tracking::RunLog& log;
    Stop& stop;
    const StageStats& stats;
    PredictionPictures* pictures = nullptr;  // nullptr: none are wanted
    // Told what each evaluation of validation samples has found, by the process that keeps.
    std::function<void(const model::EvaluationResult&, std::uint64_t step, std::uint32_t epoch)>
        on_evaluation = {};
    std::vector<std::string> class_names = {};  // for those of curves, each another one
    const tracking::Remote* tracker = nullptr;  // whose run checkpoints name; nullptr: none
    std::filesystem::path resumed_from = {};    // the checkpoint; empty: a fresh start
  };

  // `state` is where the run stands: the start, or what a checkpoint said.
  TrainingRun(Parts parts, ProgressState state);

  double LearningRate(std::uint64_t step) const override {
    return parts_.schedule->LearningRateAt(static_cast<std::int64_t>(step));
  }
  bool EvaluatesAfter(std::uint64_t steps_done) const override {
    return parts_.plan.EvaluatesAfter(steps_done);
  }

  std::uint32_t EvaluatingRanks(stages::Phase phase) const override;
  bool NeedsWeightsAfter(std::uint64_t step) const override;
  bool Interrupted(std::uint64_t steps_done) const override;

  // Logs, writes the checkpoint that is due, and ends the run when it is done or interrupted.
  void FinishStep(const FinishedStep& finished) override;

  // Shows progress; when the process has been asked to end, writes a checkpoint and ends the run.
  bool ContinueEvaluation(const stages::Batch& batch, const LaneState& state) override;
  // After the last one of a validation: logs what they found, keeps the best, writes a checkpoint;
  // ends the run when its patience has.
  bool FinishEvaluation(const stages::Batch& batch, const model::EvaluationResult& result,
                        const LaneState& state) override;

  // Where the run stands, after what it has logged of that. Any thread.
  NodeMonitor::Moment moment() const;

  // When the graph has ended.
  const ProgressState& state() const { return state_; }
  bool interrupted() const { return interrupted_; }
  bool out_of_patience() const { return OutOfPatience(parts_.recipe, state_); }
  const std::filesystem::path& last_checkpoint() const { return last_checkpoint_; }
  std::optional<double> last_top1() const { return last_top1_; }
  std::uint64_t trained_samples() const { return trained_samples_; }
  double training_seconds() const { return NsToSeconds(training_ns_); }
  // Of the time from the end of the first step on; mean over lanes.
  double data_wait_share() const;

 private:
  // Of one evaluation.
  struct Finding {
    stages::Batch batch;  // its last one
    model::EvaluationResult result;
  };

  void Tell(const Finding& finding);
  void TellCurves(const model::ThresholdCounts& thresholds);
  void KeepIfBest(double top1, const model::Network& network);
  // `scheduled`: an undisturbed run writes it too, and says in metrics.jsonl what its weights are.
  // Throws Error, and writes nothing, when a number that it would hold is not finite.
  void WriteCheckpoint(const LaneState& state, bool scheduled);
  // `what`: "the loss of step 7 is nan".
  [[noreturn]] void FailAsDiverged(const std::string& what) const;
  // Whether one is due after so many steps, evaluations and the end aside.
  bool CheckpointDueAfter(std::uint64_t steps_done) const;
  void LogStep(double loss);
  void ShowProgress(double loss);

  // The epoch, counted from 1, to which the last of so many steps belongs.
  std::uint32_t EpochOf(std::uint64_t steps_done) const;

  Parts parts_;
  ProgressState state_;
  std::atomic<std::uint64_t> logged_steps_;  // global steps done
  bool interrupted_ = false;
  std::filesystem::path last_checkpoint_;
  std::optional<double> last_top1_;

  // Time and samples of training alone.
  std::int64_t mark_ns_ = 0;  // end of the last step or evaluation; 0: no step yet
  std::int64_t training_ns_ = 0;
  std::uint64_t trained_samples_ = 0;
  std::int64_t first_step_ns_ =
      0;  // end of this process's first step, from which the time left is estimated
  std::uint64_t first_step_ = 0;
  double first_data_wait_s_ = 0;  // what lanes had waited until then
  double last_loss_ = 0;
  struct {
    std::int64_t ns = 0;
    std::uint64_t samples = 0;
    double data_wait_s = 0;
  } since_log_;

  std::uint64_t evaluation_rounds_ = 0;  // batches of each rank in the evaluation under way
  // Of the validation under way. They are told together when it has ended: one that is interrupted
  // is made again as a whole, and has told nothing that would have to be taken back.
  std::vector<Finding> found_;
};

}  // namespace millrace::pipeline
