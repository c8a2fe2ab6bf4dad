"""`model.ema_decay`: an average of the weights that is evaluated, kept and resumed."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from support import checkpoints, metrics, same_runs, same_tensors

NARROW = ("--set", "model.width=8", "--set", "deterministic=true")
AVERAGE = (*NARROW, "--set", "model.ema_decay=0.8", "--set", "model.ema_every_steps=2")


@pytest.fixture(scope="module")
def averaged(path, dataset, tmp_path_factory):
    """A run of 2 epochs of 7 steps, with a checkpoint after each step."""
    import support

    folder = tmp_path_factory.mktemp("averaged")
    (folder / "recipe.toml").write_text(support.RECIPE)
    support.Program(path, folder).done("train", "recipe.toml", "--data", dataset, "--out", "run", *AVERAGE,
                                       "--set", "checkpoint.every_steps=1", "--set", "checkpoint.keep=100",
                                       "--set", "checkpoint.best=2")
    return folder / "run"


def weights_and_average(checkpoint):
    tensors = load_file(checkpoint)
    average = {name.removeprefix("ema."): value for name, value in tensors.items() if name.startswith("ema.")}
    return {name: tensors[name] for name in average}, average


def test_average_follows_the_weights_and_they_do_not_feel_it(millrace, recipe, dataset, averaged):
    mean = None
    for step, checkpoint in enumerate(checkpoints(averaged)):
        weights, average = weights_and_average(checkpoint)
        assert len(average) == 122
        value, got = weights["conv1.weight"], average["conv1.weight"]
        if step == 0:
            mean = value
        elif step % 7 % 2 == 0:
            mean = 0.8 * mean + (1 - 0.8) * value
        assert torch.allclose(got, mean, rtol=1e-6, atol=1e-8), step
    millrace.done("train", recipe, "--data", dataset, "--out", "plain", *NARROW)
    plain = metrics(millrace.folder / "plain")
    assert [line for line in plain if line["group"] == "train"] == \
        [line for line in metrics(averaged) if line["group"] == "train"]
    assert [line for line in plain if line["group"] == "val"] != \
        [line for line in metrics(averaged) if line["group"] == "val"]


def test_average_is_what_is_evaluated_kept_and_exported(millrace, recipe, dataset, averaged):
    last = checkpoints(averaged)[-1]
    millrace.done("export", averaged, "--to", "weights.safetensors")
    exported = load_file(millrace.folder / "weights.safetensors")
    _, average = weights_and_average(last)
    assert exported.keys() == average.keys()
    assert [name for name in average if not torch.equal(exported[name], average[name])] == []
    [best] = [path for path in (averaged / "best").iterdir() if path.name.startswith("step-00000014")]
    same_tensors(best, millrace.folder / "weights.safetensors")
    told = [line for line in metrics(averaged) if line["group"] == "val"][-1]
    for weights in ("weights.safetensors", last):
        counted = millrace.done("eval", recipe, "--data", dataset, "--weights", weights, "--json", *NARROW).json()
        assert counted["top1"] == told["top1"]
        assert counted["loss"] == pytest.approx(told["loss"], rel=1e-9)


@pytest.mark.parametrize("step", [3, 7])
def test_average_goes_on_from_a_checkpoint_bit_for_bit(millrace, dataset, averaged, step):
    shutil.copytree(averaged, millrace.folder / "run")
    millrace.done("train", averaged / "config.toml", "--data", dataset, "--out", "run",
                  "--resume", f"run/checkpoints/step-{step:08}.safetensors")
    same_runs(averaged, millrace.folder / "run")


def test_average_is_the_same_on_all_ranks(millrace, recipe, dataset):
    # What rank 1 evaluates enters the counts; running statistics are rank 0's.
    pieces = ("--set", "batch.per_device=8", "--set", "checkpoint.keep=1")
    millrace.done("train", recipe, "--data", dataset, "--out", "lanes", "--devices", "cpu:2", *AVERAGE, *pieces)
    told = [line for line in metrics(millrace.folder / "lanes") if line["group"] == "val"][-1]
    counted = millrace.done("eval", recipe, "--data", dataset, "--devices", "cpu", "--json", *NARROW,
                            "--weights", checkpoints(millrace.folder / "lanes")[-1]).json()
    assert counted["top1"] == told["top1"]
    assert counted["loss"] == pytest.approx(told["loss"], rel=1e-6)


def test_run_that_goes_over_to_an_average_begins_it_with_its_weights(millrace, recipe, dataset):
    common = ("train", recipe, "--data", dataset, "--out", "run", *NARROW, "--set", "checkpoint.keep=2")
    millrace.done(*common, "--set", "train.max_steps=2")
    millrace.done(*common, "--set", "train.max_steps=3", "--resume", "auto",
                  "--set", "model.ema_decay=0.5", "--set", "model.ema_every_steps=1000")
    before, after = checkpoints(millrace.folder / "run")
    weights, average = weights_and_average(after)
    begun = load_file(before)
    assert [name for name in average if not torch.equal(average[name], begun[name])] == []
    assert not torch.equal(weights["conv1.weight"], begun["conv1.weight"])
