"""Training samples that each validation evaluates: [data.train_eval]."""

import json
import os
import signal
import time

import pytest
from support import RECIPE, TIME_LIMIT_S, Program, checkpoints, copy_run, event_reader, metrics, pictures, same_runs

# All 120 of them, in so many batches that a signal finds the evaluation at work.
TRAIN_EVAL = ("--set", "data.train_eval.limit=0")
NARROW = RECIPE.replace('name = "resnet18"', 'name = "resnet18"\nwidth = 8').replace("evaluate_per_device = 4",
                                                                                     "evaluate_per_device = 1")
RESULTS = ("samples", "top1", "top5", "loss")


def evaluations(run, group):
    return [line for line in metrics(run) if line["group"] == group]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A file with support.RECIPE for a network of which a run costs little."""
    file = tmp_path_factory.mktemp("train_eval") / "recipe.toml"
    file.write_text(NARROW)
    return file


@pytest.fixture(scope="module")
def undisturbed(path, recipe, dataset):
    """The folder of the recipe's run with TRAIN_EVAL. Not to be changed."""
    Program(path, recipe.parent).done("train", recipe, "--data", dataset, "--out", "run", *TRAIN_EVAL)
    return recipe.parent / "run"


def test_each_validation_tells_of_training_samples_and_of_validation_samples(millrace, recipe, dataset, undisturbed):
    millrace.done("train", recipe, "--data", dataset, "--out", "without")
    without = metrics(millrace.folder / "without")
    told = evaluations(undisturbed, "train_eval")
    assert [(line["epoch"], line["step"], line["samples"]) for line in told] == [(1, 7, 120), (2, 14, 120)]
    assert all(0 < line["top1"] <= line["top5"] and 0 < line["loss"] for line in told)
    # Nothing else of the run changes.
    lines = metrics(undisturbed)
    assert [line for line in lines if line["group"] != "train_eval"] == without
    assert [lines[lines.index(line) + 1]["group"] for line in told] == ["val", "val"]
    best = next((undisturbed / "best").iterdir())
    assert best.stem.endswith(f"{max(line['top1'] for line in evaluations(undisturbed, 'val')):.4f}")

    reader = event_reader(undisturbed)
    for tag, name in {"training/Accuracy": "top1", "training/Top-5 Accuracy": "top5", "training/Error": "error",
                      "training/loss": "loss"}.items():
        points = [(event.step, event.value) for event in reader.Scalars(tag)]
        assert points == [(line["epoch"], pytest.approx(line[name])) for line in told]
    assert [event.step for event in reader.Scalars("validation/Accuracy")] == [1, 2]
    shown = pictures(undisturbed)
    assert set(shown) == {(f"{of}: {kind}", step) for of in ("training", "validation") for step in (7, 14)
                          for kind in ("predictions_with_gt", "hardest", "most_confused")}


@pytest.mark.parametrize("said", ["validate, training samples", "\nvalidate  "])
def test_validation_that_is_stopped_has_told_nothing_and_is_made_again(millrace, recipe, dataset, undisturbed, said):
    arguments = ["train", recipe, "--data", dataset, "--out", "run", "--resume", "auto", *TRAIN_EVAL]
    stderr = millrace.folder / "stderr"
    with stderr.open("wb") as file:
        process = millrace.start(*arguments, stderr=file)
    deadline = time.monotonic() + TIME_LIMIT_S
    while said not in stderr.read_text() and process.poll() is None:
        assert time.monotonic() < deadline, "the evaluation does not come"
        time.sleep(0.0005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIME_LIMIT_S) == 3, stderr.read_text()
    run = millrace.folder / "run"
    assert "interrupted at step 7 of 14" in stderr.read_text()
    assert not evaluations(run, "train_eval") + evaluations(run, "val")
    assert checkpoints(run)[-1].name == "step-00000007.safetensors"
    millrace.done(*arguments)
    same_runs(undisturbed, run)
    assert pictures(run) == pictures(undisturbed)


def test_training_samples_are_evaluated_alike_on_any_devices(millrace, recipe, dataset):
    """Of the initial weights, which no sum of gradients has touched yet; and one thread for each device."""
    arguments = ["train", recipe, "--data", dataset, "--set", "data.train_eval.limit=27", "--set", "train.max_steps=1",
                 "--set", "train.start_by_validation=true", "--set", "batch.global=16", "--set", "batch.evaluate_per_device=4"]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        millrace.done(*arguments, "--out", "one", "--set", "batch.per_device=16")
        millrace.done(*arguments, "--out", "lanes", "--set", "batch.per_device=4", "--devices", "cpu:4")
        millrace.done("launch", "-n", 2, "--", *arguments, "--out", "processes", "--set", "batch.per_device=8")
    finally:
        os.sched_setaffinity(0, before)
    one, *others = [metrics(millrace.folder / name) for name in ("one", "lanes", "processes")]
    assert [(line["group"], line["step"], line["samples"]) for line in one if "samples" in line] == [
        ("train_eval", 0, 27), ("val", 0, 45), ("train_eval", 1, 27), ("val", 1, 45)]
    for other in others:
        assert [line for line in other if line["step"] == 0] == [line for line in one if line["step"] == 0]
        assert [(line["group"], line["samples"]) for line in other if "samples" in line] == [
            (line["group"], line["samples"]) for line in one if "samples" in line]


def test_counts_are_those_of_eval_on_the_same_samples(millrace, recipe, dataset):
    millrace.done("train", recipe, "--data", dataset, "--out", "run", "--set", "train.max_steps=2", "--set",
                  "data.train_eval.limit=50", "--set",
                  "data.train_eval.ops=[{ op = 'resize', size = 36 }, { op = 'center_crop', size = 32 }]")
    run = millrace.folder / "run"
    counted = millrace.done("eval", recipe, "--data", dataset, "--weights", checkpoints(run)[-1], "--set",
                            "data.val.split=train", "--set", "data.val.limit=50", "--json").json()
    [told] = evaluations(run, "train_eval")
    assert {name: told[name] for name in RESULTS} == {name: counted[name] for name in RESULTS}


def test_compare_sees_what_training_samples_gave(millrace, undisturbed):
    other = copy_run(undisturbed, millrace.folder / "other")
    lines = metrics(other)
    at = next(at for at, line in enumerate(lines) if line["group"] == "train_eval")
    lines[at]["top1"] += 0.25
    (other / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = millrace("compare", undisturbed, other)
    assert result.code == 1
    assert "the evaluation (train_eval) after step 7 does not find the same: top1" in result.out
