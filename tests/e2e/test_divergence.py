"""Runs whose numbers leave the finite ones: the last good checkpoint stays, and the message says where and what to do."""

import pytest
import torch
from safetensors.torch import load_file
from support import checkpoints

NARROW = ("--set", "model.width=8")


def finite(checkpoint):
    return all(torch.isfinite(tensor).all() for tensor in load_file(checkpoint).values() if tensor.is_floating_point())


def test_checkpoint_of_weights_that_are_not_finite_is_not_written(millrace, recipe, dataset):
    # The rate rises until a step's weights overflow whose loss was still a number.
    millrace.done("train", recipe, "--data", dataset, "--out", "run", *NARROW, "--set", "checkpoint.every_steps=1",
                  "--set", "checkpoint.keep=1", "--set", "train.max_steps=2")
    [good] = checkpoints(millrace.folder / "run")
    message = millrace.refuses(1, "train", recipe, "--data", dataset, "--out", "run", *NARROW, "--resume", "auto",
                               "--set", "checkpoint.every_steps=1", "--set", "checkpoint.keep=1",
                               "--set", "schedule.name=constant", "--set", "optimizer.lr=1e300",
                               says="is not finite after step 3: the training has diverged")
    assert f"the last good checkpoint is run/checkpoints/{good.name}" in message
    assert "try a smaller optimizer.lr, a longer warm-up or optimizer.clip_norm" in message
    assert checkpoints(millrace.folder / "run") == [good] and finite(good)


@pytest.mark.parametrize("every_steps", [1, 1000])
def test_diverged_run_leaves_no_bad_checkpoint(millrace, recipe, dataset, every_steps):
    millrace.refuses(1, "train", recipe, "--data", dataset, "--out", "run", *NARROW, "--set", "optimizer.lr=1e30",
                     "--set", f"checkpoint.every_steps={every_steps}", says="the training has diverged")
    assert all(finite(checkpoint) for checkpoint in checkpoints(millrace.folder / "run"))
