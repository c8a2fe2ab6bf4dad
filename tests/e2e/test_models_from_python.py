"""Runs that train a model which Python exported, and runs that begin with weights which Python saved."""

import hashlib
import json
import shutil

import pytest
import support
import torch
import torchvision
from safetensors.torch import load_file
from support import CLASSES, same_runs, untouched

# What PyTorch says wherever TorchScript is made.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


class Small(torch.nn.Module):
    """Whatever matters to a run: normalisation, which keeps statistics, and dropout, which draws."""

    def __init__(self, classes=CLASSES):
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU())
        self.dropout = torch.nn.Dropout(0.2)
        self.head = torch.nn.Linear(16, classes)

    def forward(self, x):
        return self.head(self.dropout(self.features(x).mean((2, 3))))


def save_script(path, seed=3, classes=CLASSES):
    torch.manual_seed(seed)
    torch.jit.script(Small(classes)).save(path)
    return path


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A recipe beside the file that it names."""
    folder = tmp_path_factory.mktemp("script")
    save_script(folder / "model.pt")
    (folder / "script.toml").write_text(support.TINY_RECIPE.replace('name = "resnet18"', 'torchscript = "model.pt"'))
    return folder


@pytest.fixture(scope="module")
def scripted_run(path, script, dataset):
    """The folder of its run on two devices, which nobody disturbed. Not to be changed."""
    program = support.Program(path, script.parent)
    program.done("train", script / "script.toml", "--data", dataset, "--out", script / "run", "--devices", "cpu:2",
                 "--set", "train.max_steps=4", "--set", "model.ema_decay=0.9")
    return script / "run"


def test_stopped_and_resumed_it_is_the_same_run(millrace, script, scripted_run, dataset):
    arguments = ["train", script / "script.toml", "--data", dataset, "--out", "run", "--devices", "cpu:2",
                 "--set", "train.max_steps=4", "--set", "model.ema_decay=0.9"]
    assert millrace(*arguments, "--stop-after", 2).code == 3
    millrace.done(*arguments, "--resume", "auto")
    same_runs(millrace.folder / "run", scripted_run)
    millrace.done("compare", "run", scripted_run)


def test_its_weights_load_into_python_by_name(millrace, scripted_run):
    millrace.done("export", scripted_run, "--to", "weights.safetensors")
    Small().load_state_dict(load_file(millrace.folder / "weights.safetensors"), strict=True)


def test_environment_and_compare_tell_which_file_it_was(millrace, script, scripted_run, dataset):
    told = json.loads((scripted_run / "environment.json").read_text())
    assert told["torchscript_sha256"] == hashlib.sha256((script / "model.pt").read_bytes()).hexdigest()
    other = save_script(millrace.folder / "other.pt", seed=4)
    millrace.done("train", script / "script.toml", "--data", dataset, "--out", "run", "--devices", "cpu:2",
                  "--set", "train.max_steps=4", "--set", "model.ema_decay=0.9", "--set", "model.torchscript=other.pt")
    result = millrace("compare", scripted_run, "run", "--json")
    assert result.code == 1
    assert result.json()["environment"] == [{"name": "torchscript_sha256", "a": told["torchscript_sha256"],
                                             "b": hashlib.sha256(other.read_bytes()).hexdigest()}]
    assert result.json()["settings"] == []
    back = millrace.done("train", script / "script.toml", "--data", dataset, "--out", "run", "--devices", "cpu:2",
                         "--set", "train.max_steps=4", "--set", "model.ema_decay=0.9", "--resume", "auto")
    assert "resuming with another file model.torchscript" in back.out + back.err


def test_it_is_evaluated_and_profiled(millrace, script, scripted_run, dataset):
    evaluation = ["--set", "data.val.ops=[{ op = 'resize', width = 8, height = 8 }]"]
    millrace.done("export", scripted_run, "--to", "weights.safetensors")
    result = millrace.done("eval", script / "script.toml", "--data", dataset, "--weights", "weights.safetensors", *evaluation,
                           "--json")
    assert result.json()["samples"] == 45
    assert "train_step" in millrace.done("profile", script / "script.toml", "--data", dataset, "--seconds", 1).out


def test_model_that_does_not_fit_starts_nothing(millrace, script, dataset, tmp_path):
    save_script(tmp_path / "ten.pt", classes=10)
    with untouched(tmp_path):
        millrace.refuses(2, "train", script / "script.toml", "--data", dataset, "--out", "run",
                         "--set", "model.torchscript=ten.pt",
                         says=["model.torchscript", "ten.pt gives 10 scores", "the dataset has 3 classes"])
        millrace.refuses(2, "train", script / "script.toml", "--data", dataset, "--out", "run",
                         "--set", "model.sync_batch_norm=true", says=["model.sync_batch_norm", "networks that are built in"])
        millrace.refuses(2, "train", script / "script.toml", "--data", dataset, "--out", "run",
                         "--set", "model.torchscript=none.pt", says=["there is no file", "none.pt"])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """What torchvision's users save, of another number of classes."""
    torch.manual_seed(6)
    file = tmp_path_factory.mktemp("weights") / "pretrained.pth"
    torch.save({"model": torchvision.models.resnet18(num_classes=10).state_dict(), "epoch": 90}, file)
    return file


def test_fine_tuning_begins_with_the_files_weights_and_goes_on_without_it(millrace, tiny_recipe, dataset, weights):
    file = millrace.folder / "pretrained.pth"
    arguments = ["train", tiny_recipe, "--data", dataset, "--set", "model.weights=pretrained.pth", "--set", "train.max_steps=3"]
    shutil.copy(weights, file)
    millrace.done(*arguments, "--out", "straight")
    log = (millrace.folder / "straight/log.txt").read_text()
    assert f"initial weights from {file} (its model); fc.weight and fc.bias begin anew: the file has 10 classes, the data 3" in log

    assert millrace(*arguments, "--out", "resumed", "--stop-after", 1).code == 3
    file.unlink()
    millrace.done(*arguments, "--out", "resumed", "--resume", "auto")
    support.same_runs(millrace.folder / "resumed", millrace.folder / "straight")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    for run in ("straight", "resumed"):
        assert json.loads((millrace.folder / run / "environment.json").read_text())["weights_sha256"] == digest
    with untouched(millrace.folder):
        millrace.refuses(2, *arguments, "--out", "fresh", says=["model.weights: there is no file", "pretrained.pth"])


def test_weights_that_do_not_fit_start_nothing(millrace, tiny_recipe, dataset, weights):
    with untouched(millrace.folder):
        millrace.refuses(1, "train", tiny_recipe, "--data", dataset, "--out", "run", "--set", f"model.weights={weights}",
                         "--set", "model.name=resnet34",
                         says=["pretrained.pth", "it is a resnet18, the recipe says resnet34", "missing: layer1.2"])
