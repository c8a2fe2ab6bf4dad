"""`millrace compare`: the same run or not, and where two runs part."""

import json
import re

import pytest
import support
from support import checkpoints, copy_run, metrics


@pytest.fixture(scope="module")
def runs(path, dataset, tmp_path_factory):
    """A function that gives the folder of a run of support.TINY_RECIPE with these settings, three steps if they say nothing
    else. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.toml").write_text(support.TINY_RECIPE)
    program, made = support.Program(path, folder), {}

    def run(*settings, devices="cpu", data=dataset):
        key = (settings, devices, data)
        if key not in made:
            made[key] = folder / f"run{len(made)}"
            arguments = [part for setting in ("train.max_steps=3", *settings) for part in ("--set", setting)]
            program.done("train", "tiny.toml", "--data", data, "--out", made[key], "--devices", devices, *arguments)
        return made[key]

    return run


@pytest.fixture
def differ(millrace):
    """A function that compares runs that are not the same, and gives what is told as JSON."""

    def compare(first, second):
        result = millrace("compare", first, second, "--json")
        assert result.code == 1, result.err
        told = result.json()
        assert not told["same"]
        return told

    return compare


def names(values):
    return [value["name"] for value in values]


def test_equal_runs_are_the_same_whatever_made_them(millrace, runs):
    other = runs("pipeline.workers=1", "pipeline.slots=1", "name='other'", "checkpoint.keep=2", "train.log_every_steps=2")
    told = millrace.done("compare", runs(), other, "--json").json()
    digest = metrics(runs())[-1]["digest"]
    assert told == {"same": True, "steps": 3, "digest": digest, "settings": [], "environment": []}
    assert millrace.done("compare", runs(), other).out == (
        f"the same run: 3 steps with digest {digest}, and the same weights, bit for bit\n")


def test_another_seed_is_another_plan(millrace, runs, differ):
    told = differ(runs(), runs("seed=1"))
    assert told["settings"] == [{"name": "seed", "a": "0", "b": "1"}]
    assert (told["evidence"], told["stage"], told["after_step"], told["step"]) == ("batches", "plan", 0, 1)
    assert told["sample_a"] != told["sample_b"] and told["position"] == 0
    text = millrace("compare", runs(), runs("seed=1")).out
    assert text.splitlines() == ["recipe: seed: 0 in A, 1 in B", (
        f"not the same run (batches, stage plan): step 1, position 0 of its epoch: it is sample {told['sample_a']} in A and "
        f"sample {told['sample_b']} in B")]


def test_sample_that_is_cut_otherwise_is_named(runs, differ):
    told = differ(runs(), runs("data.train.ops=[{op='random_resized_crop', size=8, scale=[0.5, 1.0]}]"))
    assert names(told["settings"]) == ["data.train.ops"]
    assert (told["evidence"], told["stage"], told["step"]) == ("batches", "augment", 1)
    assert told["sample_a"] == told["sample_b"]
    assert re.search(rf"of sample {told['sample_a']} \(train-\d+-of-\d+.lmdb, key \d+\) A takes \d+ x \d+ pixels", told["text"])


def test_first_sample_and_its_step_are_found_between_two_lines_of_the_log(runs, differ):
    # Half of the samples are flipped in neither, a hundredth in one.
    few = [f"data.train.ops=[{{op='random_resized_crop', size=8}}, {{op='horizontal_flip', p={p}}}]" for p in (0.0, 0.06)]
    every, sparse = ("train.max_steps=6", "train.log_every_steps=1"), ("train.max_steps=6", "train.log_every_steps=6")
    exact = differ(runs(*every, few[0]), runs(*every, few[1]))
    parted = next(a["step"] for a, b in zip(metrics(runs(*every, few[0])), metrics(runs(*every, few[1])), strict=True)
                  if a["batches"] != b["batches"])
    assert (exact["step"], exact["stage"]) == (parted, "augment")
    assert parted > 1, "choose another share: the interval is to hold equal steps, too"
    found = differ(runs(*sparse, few[0]), runs(*sparse, few[1]))
    assert found == exact | {"digest": found["digest"]}
    assert "has other pixels in B, from the same crop" in found["text"]


def test_other_scale_of_decoding_is_the_decode_stage(runs, differ):
    told = differ(runs(), runs("decode.mode='fast'"))
    assert (told["evidence"], told["stage"]) == ("batches", "decode")
    assert re.search(r"is decoded at 8/8 of its size in A and at [124]/8 in B", told["text"])


def test_other_dataset_is_told_first(path, runs, differ, tmp_path):
    program = support.Program(path, tmp_path)
    program.done("convert", "--from", support.write_pictures(tmp_path / "pictures", 40, seed=9), "--to", "other")
    told = differ(runs(), runs(data=tmp_path / "other"))
    assert names(told["environment"])[0] == "dataset_fingerprint"
    assert (told["evidence"], told["stage"], told["step"]) == ("batches", "read", 1)
    assert told["sample_a"] == told["sample_b"]


def test_learning_rate_is_told_before_the_loss(runs, differ):
    told = differ(runs(), runs("optimizer.lr=0.02"))
    assert (told["evidence"], told["stage"], told["step"]) == ("lr", "train_step", 1)
    assert "is 0.01 in A and 0.02 in B" in told["text"]


def test_other_update_shows_in_the_loss_of_a_later_step(runs, differ):
    told = differ(runs("optimizer.momentum=0.9"), runs("optimizer.momentum=0.8"))
    assert (told["evidence"], told["stage"], told["after_step"], told["step"]) == ("loss", "train_step", 2, 3)
    assert names(told["settings"]) == ["optimizer.momentum"]
    sparse = "train.log_every_steps=3"
    told = differ(runs("optimizer.momentum=0.9", sparse), runs("optimizer.momentum=0.8", sparse))
    assert (told["evidence"], told["after_step"], told["step"]) == ("loss", 0, 3)
    assert "one of the steps 1 to 3 gives another loss from the same samples" in told["text"]
    assert "--set train.log_every_steps=1 --set train.max_steps=3" in told["text"]


def test_weights_are_told_where_nothing_else_differs_yet(runs, differ):
    one = "train.max_steps=1"
    told = differ(runs(one), runs(one, "optimizer.weight_decay=0.1"))
    assert (told["evidence"], told["stage"], told["step"]) == ("weights", "train_step", 1)
    assert re.search(r"the weights after step 1 are not the same: \S+ and \d+ more of 122", told["text"])
    scheduled = "checkpoint.every_steps=1"
    told = differ(runs(one, scheduled), runs(one, scheduled, "optimizer.weight_decay=0.1"))
    assert (told["evidence"], told["text"]) == (
        "weights", "the weights after step 1 are not the same, though losses are")


def test_evaluation_of_other_pictures_is_told(runs, differ):
    evaluated = ["data.val.ops=[{op='resize', width=8, height=8}]", "data.val.ops=[{op='resize', width=9, height=9}]"]
    told = differ(runs(evaluated[0]), runs(evaluated[1]))
    assert (told["evidence"], told["step"]) == ("evaluation", 3) and "stage" not in told
    assert "the evaluation (val) after step 3 does not find the same: " in told["text"]


def test_run_that_ends_early_is_not_the_same(runs, differ):
    told = differ(runs(), runs("train.max_steps=2"))
    assert (told["evidence"], told["after_step"], told["step"]) == ("length", 2, 3)
    assert "A ends at step 3 and B at step 2; where both tell of steps, they tell the same" in told["text"]


def test_devices_that_share_global_batches_have_the_same_batches(runs, differ):
    whole = runs("batch.per_device=16")
    shared = runs("batch.per_device=8", "batch.global=16", devices="cpu:2")
    told = differ(whole, shared)
    assert [line["batches"] for line in metrics(whole)] == [line["batches"] for line in metrics(shared)]
    assert (told["evidence"], told["stage"], told["step"]) == ("loss", "train_step", 1)
    assert "lanes" in names(told["environment"])


def test_batches_that_no_recipe_makes_are_laid_to_program_or_machine(millrace, runs, differ):
    run = copy_run(runs(), millrace.folder / "faulty")
    lines = metrics(run)
    for line in lines[1:]:
        line["batches"] = line["batches"][::-1]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = differ(runs(), run)
    assert (told["evidence"], told["after_step"], told["step"]) == ("batches", 1, 2) and "stage" not in told
    assert "made again now, from recipe and dataset, both are the same, and A's, not B's" in told["text"]
    assert "B's, not A's" in differ(run, runs())["text"]


def test_dataset_that_has_gone_leaves_the_sample_open(millrace, runs, differ):
    run = copy_run(runs("seed=1"), millrace.folder / "moved")
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(environment | {"dataset": "/nowhere"}))
    told = differ(runs(), run)
    assert (told["evidence"], told["after_step"], told["step"]) == ("batches", 0, 1) and "stage" not in told
    assert "the samples of step 1 are not the same; they cannot be made again" in told["text"] and "/nowhere" in told["text"]


def test_what_is_no_run_is_refused(millrace, runs):
    (millrace.folder / "empty").mkdir()
    millrace.refuses(1, "compare", runs(), "empty", says="empty is not a run's folder: there is no empty/metrics.jsonl")
    millrace.refuses(2, "compare", runs(), says="RUN_B is required")
    run = copy_run(runs(), millrace.folder / "damaged")
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text.replace('"step":2', '"step":"two"'))
    millrace.refuses(1, "compare", run, runs(), says="damaged/metrics.jsonl:2: is damaged: the line is none that a run writes")
    (run / "metrics.jsonl").write_text(text + '{"group":"tra')  # a kill in a line
    millrace.done("compare", run, runs())
    checkpoints(run)[-1].unlink()
    millrace.refuses(1, "compare", run, runs(), says="damaged has no usable checkpoint, so that its weights cannot be compared")
