"""The same run whatever the threads, buffers and lanes."""

import pytest
from support import metrics, same_runs


@pytest.mark.parametrize(("workers", "slots"), [(1, 1), (2, 6), (8, 3)])
def test_workers_and_slots_do_not_enter(millrace, recipe, dataset, straight, workers, slots):
    millrace.done("train", recipe, "--data", dataset, "--out", "run", "--set", f"pipeline.workers={workers}",
                  "--set", f"pipeline.slots={slots}")
    same_runs(straight, millrace.folder / "run")


def first_steps(millrace, recipe, dataset, name, *settings, steps=2, devices="cpu"):
    arguments = [part for setting in settings for part in ("--set", setting)]
    millrace.done("train", recipe, "--data", dataset, "--out", name, "--devices", devices, *arguments,
                  "--set", f"train.max_steps={steps}")
    return [line for line in metrics(millrace.folder / name) if line["group"] == "train"]


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


def test_lanes_and_accumulation_share_the_same_global_batches(millrace, recipe, dataset):
    # Two lanes of 8 and one lane of 8 twice see the same pieces; after equal first batches the losses are equal but for
    # the order of floating-point sums within a thread team.
    lanes = first_steps(millrace, recipe, dataset, "lanes", "batch.per_device=8", devices="cpu:2")
    turns = first_steps(millrace, recipe, dataset, "turns", "batch.per_device=8", "batch.global=16")
    assert [line["step"] for line in lanes] == [line["step"] for line in turns]
    for one, other in zip(lanes, turns):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    other = first_steps(millrace, recipe, dataset, "other", "batch.per_device=8", "batch.global=16",
                        "data.train.shuffle=none")
    assert other[0]["loss"] != pytest.approx(lanes[0]["loss"], rel=1e-2)
