"""The same run whatever the threads, buffers and lanes."""

import os

import pytest
from support import metrics, same_runs


@pytest.mark.parametrize(("workers", "slots", "read_ahead"), [(1, 1, 0), (2, 6, 3), (8, 3, 40)])
def test_workers_slots_and_read_ahead_do_not_enter(millrace, recipe, dataset, straight, workers, slots, read_ahead):
    millrace.done("train", recipe, "--data", dataset, "--out", "run", "--set", f"pipeline.workers={workers}",
                  "--set", f"pipeline.slots={slots}", "--set", f"pipeline.read_ahead={read_ahead}")
    same_runs(straight, millrace.folder / "run")


def test_fast_decode_is_another_run_and_the_same_every_time(millrace, recipe, dataset):
    # Pictures of 40 x 30 to 8 x 8: libjpeg-turbo makes them half or a quarter as large.
    def run(name, *settings):
        arguments = [part for setting in settings for part in ("--set", setting)]
        millrace.done("train", recipe, "--data", dataset, "--out", name, "--set", "train.max_steps=3",
                      "--set", "data.train.ops=[{op='random_resized_crop', size=8, scale=[0.5, 1.0]}]",
                      "--set", "data.val.ops=[{op='resize', width=8, height=8}]", *arguments)
        return millrace.folder / name

    one = run("one", "decode.mode=fast", "pipeline.workers=1")
    same_runs(one, run("other", "decode.mode=fast", "pipeline.workers=4", "pipeline.slots=3"))
    exact = run("exact")
    assert metrics(one)[0]["digest"] != metrics(exact)[0]["digest"]
    assert abs(metrics(one)[0]["loss"] - metrics(exact)[0]["loss"]) < 0.1
    assert 'mode = "fast"' in (one / "config.toml").read_text()


def first_steps(millrace, recipe, dataset, name, *settings, steps=2, devices="cpu", preexec_fn=None):
    arguments = [part for setting in settings for part in ("--set", setting)]
    millrace.done("train", recipe, "--data", dataset, "--out", name, "--devices", devices, *arguments,
                  "--set", f"train.max_steps={steps}", preexec_fn=preexec_fn)
    return [line for line in metrics(millrace.folder / name) if line["group"] == "train"]


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_sixteen_bits_go_on_from_a_checkpoint_as_if_nothing_had_been(millrace, recipe, dataset, amp):
    settings = [f"precision.amp={amp}", "deterministic=true", "checkpoint.every_steps=1", "train.log_every_steps=1"]
    whole = first_steps(millrace, recipe, dataset, "whole", *settings, steps=3)
    first_steps(millrace, recipe, dataset, "parts", *settings, steps=1)
    arguments = [part for setting in settings for part in ("--set", setting)]
    millrace.done("train", recipe, "--data", dataset, "--out", "parts", "--devices", "cpu", "--resume", "auto", *arguments,
                  "--set", "train.max_steps=3")
    assert [line for line in metrics(millrace.folder / "parts") if line["group"] == "train"] == whole
    plain = first_steps(millrace, recipe, dataset, "plain", "deterministic=true", "train.log_every_steps=1", steps=3)
    assert [line["loss"] for line in plain] != [line["loss"] for line in whole]


def test_seed_changes_batches_and_weights(millrace, recipe, dataset):
    one = first_steps(millrace, recipe, dataset, "one", steps=1)
    other = first_steps(millrace, recipe, dataset, "other", "seed=1", steps=1)
    assert one[0]["digest"] != other[0]["digest"]
    assert one[0]["loss"] != other[0]["loss"]


def test_order_and_augmentation_enter_the_digest(millrace, recipe, dataset):
    plain = first_steps(millrace, recipe, dataset, "plain", steps=1)
    ordered = first_steps(millrace, recipe, dataset, "ordered", "data.train.shuffle=none", steps=1)
    cropped = first_steps(millrace, recipe, dataset, "cropped",
                          "data.train.ops=[{op='random_resized_crop', size=32, scale=[0.4, 1.0]}]", steps=1)
    assert len({plain[0]["digest"], ordered[0]["digest"], cropped[0]["digest"]}) == 3


def test_lanes_and_turns_on_one_lane_see_the_same_global_batches(millrace, recipe, dataset):
    # The digest goes over pixels, labels and losses of all pieces. With one thread for each lane's arithmetic it is the
    # same whether two lanes take a piece each or one lane takes both, one after the other.
    def on_one_core():
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

    pieces = ["batch.per_device=8", "batch.global=16"]
    lanes = first_steps(millrace, recipe, dataset, "lanes", *pieces, devices="cpu:2", preexec_fn=on_one_core)
    turns = first_steps(millrace, recipe, dataset, "turns", *pieces, devices="cpu", preexec_fn=on_one_core)
    assert lanes == turns


def test_checkpoint_of_two_lanes_goes_on_with_one(millrace, recipe, dataset):
    pieces = ["--set", "batch.per_device=8", "--set", "batch.global=16", "--data", dataset, "--out", "run"]
    millrace.done("train", recipe, *pieces, "--set", "train.max_steps=2", "--devices", "cpu:2")
    result = millrace.done("train", recipe, *pieces, "--set", "train.max_steps=3", "--resume", "auto")
    assert "at step 2" in result.err and "16 = 8 x 1 devices x accumulation 2" in result.err
    assert metrics(millrace.folder / "run")[-1]["step"] == 3
