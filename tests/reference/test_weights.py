"""Weights that others saved: read here as torch.load reads them, without running anything of the file.

Runs `model_judge` (tests/support/model_judge.cc) of the build named by MILLRACE_BUILD (default build/release).
"""

import argparse
import collections
import subprocess

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from test_model import CLASSES, JUDGE, judge, section, shake_norms, torchvision_model


def load(tmp_path, file, *, name="resnet18", classes=CLASSES, seed=0):
    """The weights of a run that begins with this file, and the line that says so."""
    told = judge("load", section(name=name), classes, seed, file, tmp_path / "out.safetensors")
    return load_file(tmp_path / "out.safetensors"), told


def refusal(file, name="resnet18", classes=CLASSES):
    done = subprocess.run([JUDGE, "load", section(name=name), str(classes), "0", file, "/dev/null"], capture_output=True,
                          text=True)
    assert done.returncode == 1
    return done.stderr


def differing(ours, theirs):
    assert ours.keys() == theirs.keys()
    return {key for key in theirs if not torch.equal(ours[key], theirs[key])}


@pytest.fixture(scope="module")
def model():
    model = torchvision_model("resnet18", seed=3)
    shake_norms(model)
    return model


def nested(model):
    """As torchvision's references/classification saves it, in the middle of a training."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    average = torch.optim.swa_utils.AveragedModel(model)
    return {"model": {key: torch.zeros_like(value) for key, value in model.state_dict().items()},
            "model_ema": average.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
            "args": argparse.Namespace(data_path="/data", lr=0.1, amp=None)}


SAVED = {
    "state": lambda model: model.state_dict(),
    "parallel": lambda model: torch.nn.DataParallel(model).state_dict(),
    "compiled": lambda model: {"_orig_mod." + key: value for key, value in model.state_dict().items()},
    "lightning": lambda model: {"state_dict": model.state_dict(), "global_step": 5, "hyper_parameters": {"lr": 0.1}},
    "references": nested,
    "half": lambda model: {key: value.half() if value.is_floating_point() else value
                           for key, value in model.state_dict().items()},
    "parameters": lambda model: collections.OrderedDict([*model.named_parameters(), *model.named_buffers()]),
    "channels-last": lambda model: {key: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
                                    for key, value in model.state_dict().items()},
    "views": lambda model: {key: torch.cat([value.flatten(), value.flatten()])[value.numel():].view_as(value)
                            for key, value in model.state_dict().items()},
    "before-0.4": lambda model: {key: value for key, value in model.state_dict().items() if "tracked" not in key},
}


@pytest.mark.parametrize("kind, old", [*((kind, False) for kind in SAVED), ("references", True), ("views", True)])
def test_what_torch_saves_is_read(tmp_path, model, kind, old):
    torch.save(SAVED[kind](model), tmp_path / "w.pth", _use_new_zipfile_serialization=not old)
    ours, told = load(tmp_path, tmp_path / "w.pth")
    theirs = model.state_dict()
    if kind == "half":
        theirs = {key: value.half().float() if value.is_floating_point() else value for key, value in theirs.items()}
    assert differing(ours, theirs) == set()
    part = {"lightning": " (its state_dict)", "references": " (its model_ema)"}.get(kind, "")
    assert told == f"initial weights from {tmp_path}/w.pth{part}\n"


@pytest.mark.parametrize("protocol", [3, 5])
def test_other_protocols_of_pickle_are_read(tmp_path, model, protocol):
    torch.save(nested(model), tmp_path / "w.pth", pickle_protocol=protocol)
    assert differing(load(tmp_path, tmp_path / "w.pth")[0], model.state_dict()) == set()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_head_of_other_classes_begins_anew_from_the_seed(tmp_path, model, suffix):
    file = tmp_path / f"w.{suffix}"
    torch.save(model.state_dict(), file) if suffix == "pth" else save_file(model.state_dict(), file)
    ours, told = load(tmp_path, file, classes=7, seed=5)
    torch.manual_seed(5)
    fresh = torchvision.models.resnet18(num_classes=7).state_dict()
    assert told.endswith(f"fc.weight and fc.bias begin anew: the file has {CLASSES} classes, the data 7\n")
    assert differing({key: ours[key] for key in ("fc.weight", "fc.bias")},
                     {key: fresh[key] for key in ("fc.weight", "fc.bias")}) == set()
    # What the network sees in pictures is the file's.
    trunk = torchvision.models.resnet18(num_classes=7)
    trunk.load_state_dict(ours)
    trunk.fc, whole = torch.nn.Identity(), torchvision_model("resnet18")
    whole.load_state_dict(model.state_dict())
    whole.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(trunk.eval()(images), whole.eval()(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnext50_32x4d"])
def test_timms_networks_of_the_same_names_fit(tmp_path, name):
    theirs = timm.create_model(name, num_classes=0).state_dict()
    torch.save(theirs, tmp_path / "w.pth")
    ours, told = load(tmp_path, tmp_path / "w.pth", name=name)
    assert told.endswith("fc.weight and fc.bias begin anew: the file has none\n")
    assert differing({key: value for key, value in ours.items() if not key.startswith("fc.")}, theirs) == set()


def test_what_does_not_fit_is_told(tmp_path, model):
    torch.save(torchvision_model("resnet34").state_dict(), tmp_path / "w.pth")
    assert "w.pth: the weights do not fit the network: it is a resnet34, the recipe says resnet18 (unexpected: " in refusal(
        tmp_path / "w.pth")
    torch.save({key.replace("layer", "stage"): value for key, value in model.state_dict().items()}, tmp_path / "w.pth")
    told = refusal(tmp_path / "w.pth")
    assert "(missing: layer1.0.conv1.weight, " in told and "and 85 more; unexpected: stage1.0.conv1.weight" in told
    assert "; all weights of resnet18 but the head's are needed, under its own names" in told


class Evil:
    def __reduce__(self):
        return (open, ("evil", "w"))


def test_what_is_no_state_is_told_and_nothing_of_it_is_run(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(model, tmp_path / "w.pth")
    assert "w.pth: cannot take weights from it: it holds an object of torchvision.models.resnet.ResNet" in refusal("w.pth")
    torch.save({"epoch": 1}, tmp_path / "w.pth")
    assert "it holds no state dict, neither alone nor as" in refusal("w.pth")
    torch.jit.script(model).save(tmp_path / "w.pth")
    assert "it is a TorchScript module: name it as model.torchscript" in refusal("w.pth")
    torch.save({"model": model.state_dict(), "evil": Evil()}, tmp_path / "w.pth")
    assert differing(load(tmp_path, "w.pth")[0], model.state_dict()) == set()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("old", [False, True], ids=["archive", "before-1.6"])
def test_cut_and_hostile_files_are_told(tmp_path, model, old):
    file = tmp_path / "w.pth"
    torch.save({"bias": torch.arange(1000.0)}, file, _use_new_zipfile_serialization=not old)
    whole = file.read_bytes()
    for size in (0, 20, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "w.pth" in refusal(file)
    if old:
        # A tensor of more elements than its storage has: BININT2 1000 as the shape's first number becomes 1001.
        shape = b"M\xe8\x03\x85"
        assert whole.count(shape) == 1
        file.write_bytes(whole.replace(shape, b"M\xe9\x03\x85"))
        assert "a tensor lies outside of its storage" in refusal(file)
