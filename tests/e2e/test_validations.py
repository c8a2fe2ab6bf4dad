"""When a run evaluates, on how much, and when it ends for that."""

import pytest
from support import checkpoints, event_reader, metrics, same_runs

# Weights that hardly move: accuracies that do not get better.
STILL = ["--set", "optimizer.lr=1e-9", "--set", "optimizer.momentum=0", "--set", "model.zero_init_residual=true"]


def evaluations(run):
    return [line for line in metrics(run) if line["group"] == "val"]


def test_start_by_validation_evaluates_the_initial_weights(millrace, recipe, dataset, straight):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--set", "train.start_by_validation=true"]
    millrace.done(*arguments)
    run = millrace.folder / "run"
    assert [(line["epoch"], line["step"]) for line in evaluations(run)] == [(0, 0), (1, 7), (2, 14)]
    assert evaluations(run)[1:] == evaluations(straight)
    assert [line for line in metrics(run) if line["step"] > 0] == metrics(straight)
    assert [event.step for event in event_reader(run).Scalars("validation/Accuracy")] == [0, 1, 2]


def test_run_that_is_resumed_before_its_first_step_has_its_first_evaluation_once(millrace, recipe, dataset):
    arguments = ["train", recipe, "--data", dataset, "--set", "train.start_by_validation=true", "--resume", "auto"]
    millrace.done(*arguments, "--out", "whole")
    millrace(*arguments, "--out", "run", "--stop-after", 1)
    run = millrace.folder / "run"
    checkpoints(run)[-1].unlink()  # what is left is the one of step 0
    assert [path.name for path in checkpoints(run)] == ["step-00000000.safetensors"]
    millrace.done(*arguments, "--out", "run")
    same_runs(millrace.folder / "whole", run)
    assert [event.step for event in event_reader(run).Scalars("validation/Accuracy")] == [0, 1, 2]


@pytest.mark.parametrize("devices", ["cpu", "cpu:2"])
def test_patience_ends_the_run_behind_as_many_validations(millrace, recipe, dataset, devices):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", *STILL, "--devices", devices, "--set", "train.epochs=9",
                 "--set", "train.patience=2", "--set", "data.val.limit=10"]
    result = millrace.done(*arguments)
    run = millrace.folder / "run"
    top1 = [line["top1"] for line in evaluations(run)]
    assert len(top1) < 9, "the accuracy did get better all the time"
    assert max(top1[:-2]) >= max(top1[-2:])
    assert all(max(top1[:end - 2]) < max(top1[end - 2:end]) for end in range(3, len(top1)))
    step = metrics(run)[-1]["step"]
    assert f"the run ends at step {step} of " in result.err and "in the last 2 validations (train.patience)" in result.err
    # It has ended; with more patience it goes on.
    before = (run / "metrics.jsonl").read_bytes()
    assert f"nothing to do: train.patience has ended the run at step {step}" in millrace.done(*arguments, "--resume", "auto").err
    assert (run / "metrics.jsonl").read_bytes() == before
    millrace.done(*arguments, "--resume", "auto", "--set", "train.patience=0", "--set", f"train.max_steps={step + 1}")
    assert metrics(run)[-1]["step"] == step + 1


def test_patience_is_counted_on_over_a_stop(millrace, recipe, dataset):
    arguments = ["train", recipe, "--data", dataset, *STILL, "--set", "train.epochs=9", "--set", "train.patience=3", "--set",
                 "data.val.limit=10", "--resume", "auto"]
    millrace.done(*arguments, "--out", "whole")
    last = metrics(millrace.folder / "whole")[-1]["step"]
    assert millrace(*arguments, "--out", "run", "--stop-after", last - 9).code == 3
    assert millrace(*arguments, "--out", "run", "--stop-after", last - 2).code == 3
    millrace.done(*arguments, "--out", "run")
    same_runs(millrace.folder / "whole", millrace.folder / "run")


def test_processes_of_a_run_out_of_patience_end_well(millrace, recipe, dataset):
    result = millrace.done("launch", "-n", 2, "--", "train", recipe, "--data", dataset, "--out", "run", *STILL, "--set",
                           "train.epochs=9", "--set", "train.patience=1", "--set", "data.val.limit=10")
    assert "in the last validation (train.patience)" in result.err
    assert metrics(millrace.folder / "run")[-1]["epoch"] < 9


def test_limit_takes_so_many_samples_chosen_by_the_seed(millrace, recipe, dataset):
    def run(name, *settings):
        arguments = [part for setting in ("train.epochs=2", *settings) for part in ("--set", setting)]
        millrace.done("train", recipe, "--data", dataset, "--out", name, *arguments)
        return metrics(millrace.folder / name)

    one = run("one", "data.train.limit=35", "data.val.limit=7")
    assert [line["samples"] for line in one if line["group"] == "val"] == [7, 7]
    assert [line["step"] for line in one if line["group"] == "train"] == [1, 2, 3, 4]  # two full batches of 16 an epoch
    assert run("again", "data.train.limit=35", "data.val.limit=7") == one
    all_of_them = run("all", "data.train.limit=120", "data.val.limit=1000")
    assert [line["samples"] for line in all_of_them if line["group"] == "val"] == [45, 45]
    assert all_of_them == run("none")
    best = next((millrace.folder / "one/best").iterdir())
    result = millrace.done("eval", recipe, "--data", dataset, "--weights", best, "--set", "data.val.limit=7", "--json")
    assert result.json()["samples"] == 7


def test_settings_of_evaluations_without_one_are_refused(millrace, tiny_recipe, dataset):
    for setting in ("start_by_validation=true", "patience=1"):
        key = setting.split("=")[0]
        millrace.refuses(2, "train", tiny_recipe, "--data", dataset, "--out", "run", "--set", f"train.{setting}",
                         says=f"train.{key}: has no effect: it belongs to evaluations, and there is no [data.val]")
    millrace.refuses(2, "train", tiny_recipe, "--data", dataset, "--out", "run", "--set", "data.train.limit=5", "--set",
                     "data.train.shuffle=blocks", says="data.train.limit: leaves no blocks of neighbours")
