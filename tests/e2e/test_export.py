"""Weights out to torchvision, and back."""

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support import CLASSES, checkpoints, same_tensors, untouched


def test_run_loads_into_torchvision_without_a_name_missing(millrace, straight):
    with untouched(straight):
        result = millrace.done("export", straight, "--to", "weights.safetensors")
    assert checkpoints(straight)[-1].name in result.out
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.load_state_dict(load_file(millrace.folder / "weights.safetensors"), strict=True)
    assert int(model.bn1.num_batches_tracked) == 14
    with torch.no_grad():
        assert torch.isfinite(model.eval()(torch.zeros(1, 3, 32, 32))).all()


def test_weights_are_the_checkpoints_whichever_way_they_are_asked_for(millrace, straight):
    millrace.done("export", straight, "--to", "of-run.safetensors")
    millrace.done("export", checkpoints(straight)[-1], "--to", "of-checkpoint.safetensors")
    millrace.done("export", "of-run.safetensors", "--to", "of-weights.safetensors")
    same_tensors(millrace.folder / "of-run.safetensors", millrace.folder / "of-checkpoint.safetensors")
    same_tensors(millrace.folder / "of-run.safetensors", millrace.folder / "of-weights.safetensors")
    whole = load_file(checkpoints(straight)[-1])
    for name, tensor in load_file(millrace.folder / "of-run.safetensors").items():
        assert torch.equal(tensor, whole[name]), name


def test_checkpoint_loads_from_python_in_one_line_with_its_counters(straight):
    with safe_open(checkpoints(straight)[-1], "pt") as file:
        told = file.metadata()
    assert (told["step"], told["epoch"], told["seed"], told["model"]) == ("14", "2", "0", "resnet18")
    assert "[optimizer]" in told["config"]


@pytest.fixture
def torchvisions(tmp_path):
    """Weights as torchvision initialises them, saved as its users save them."""
    torch.manual_seed(8)
    model = torchvision.models.resnet18(num_classes=CLASSES)
    save_file(model.state_dict(), tmp_path / "torchvision.safetensors")
    return tmp_path / "torchvision.safetensors"


def test_torchvisions_weights_start_a_run(millrace, recipe, dataset, torchvisions):
    result = millrace.done("export", torchvisions, "--into", recipe, "--data", dataset, "--to", "start.safetensors")
    assert f"millrace train {recipe} --data {dataset} --out RUN --resume start.safetensors" in result.out
    # Without a learning rate the parameters stay what they were: the start is really theirs.
    millrace.done("train", recipe, "--data", dataset, "--out", "run", "--resume", "start.safetensors",
                  "--set", "optimizer.lr=0", "--set", "train.max_steps=1", "--set", "seed=5", "--devices", "cpu:2")
    millrace.done("export", "run", "--to", "after.safetensors")
    before, after = load_file(torchvisions), load_file(millrace.folder / "after.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(tensor, after[name]), name


def test_weights_that_do_not_fit_start_nothing(millrace, recipe, dataset, tmp_path):
    save_file(torchvision.models.resnet18(num_classes=10).state_dict(), tmp_path / "ten.safetensors")
    with untouched(tmp_path):
        millrace.refuses(1, "export", "ten.safetensors", "--into", recipe, "--data", dataset, "--to", "start.safetensors",
                         says=["ten.safetensors", "do not fit", "it holds 10 classes, the data has 3"])


def test_run_without_a_checkpoint_exports_nothing(millrace):
    (millrace.folder / "empty").mkdir()
    with untouched(millrace.folder):
        millrace.refuses(1, "export", "empty", "--to", "weights.safetensors", says="no checkpoint in empty/checkpoints")


def test_export_into_needs_a_dataset(millrace, recipe, torchvisions):
    millrace.refuses(2, "export", torchvisions, "--into", recipe, "--to", "start.safetensors", says=["--data", "data.path"])
    millrace.refuses(2, "export", torchvisions, "--data", "x", "--to", "start.safetensors", says=["--into"])
