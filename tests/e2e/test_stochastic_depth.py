"""`model.stochastic_depth`: what is left out follows from the samples alone."""

import os

from support import metrics

COMMON = ("--set", "model.width=8", "--set", "deterministic=true", "--set", "model.stochastic_depth=0.5",
          "--set", "train.max_steps=4", "--set", "checkpoint.every_steps=1", "--set", "checkpoint.keep=10")


def training(run):
    return [line for line in metrics(run) if line["group"] == "train"]


def on_one_core():
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])


def test_lanes_and_turns_leave_out_the_same(millrace, recipe, dataset):
    pieces = (*COMMON, "--set", "batch.per_device=8", "--set", "batch.global=16")
    for name, devices in [("lanes", "cpu:2"), ("turns", "cpu")]:
        millrace.done("train", recipe, "--data", dataset, "--out", name, "--devices", devices, *pieces,
                      preexec_fn=on_one_core)
    assert training(millrace.folder / "lanes") == training(millrace.folder / "turns")


def test_resumed_run_leaves_out_what_the_undisturbed_one_does(millrace, recipe, dataset):
    millrace.done("train", recipe, "--data", dataset, "--out", "run", *COMMON)
    whole = training(millrace.folder / "run")
    millrace.done("train", recipe, "--data", dataset, "--out", "run", *COMMON,
                  "--resume", "run/checkpoints/step-00000002.safetensors")
    assert training(millrace.folder / "run") == whole
    millrace.done("train", recipe, "--data", dataset, "--out", "plain", *COMMON, "--set", "model.stochastic_depth=0")
    assert training(millrace.folder / "plain")[0]["loss"] != whole[0]["loss"]
