"""Models that Python exports as TorchScript: trained here as PyTorch trains them.

Runs `model_judge` (tests/support/model_judge.cc) of the build named by MILLRACE_BUILD (default build/release).
"""

import copy

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from test_model import CLASSES, batches, judge, one_step, relative_error, section, train_with_torch

# What PyTorch says wherever TorchScript is made.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

SGD = dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)


def train_ours(tmp_path, file, state, inputs, settings, *, amp="off"):
    """Losses and final weights."""
    save_file(inputs, tmp_path / "in.safetensors")
    save_file(state, tmp_path / "w.safetensors")
    judge("train", section(torchscript=str(file)), section(name="sgd", **settings), CLASSES, tmp_path / "w.safetensors",
          tmp_path / "in.safetensors", tmp_path / "out.safetensors", section(amp=amp), 1.0, 1)
    weights = load_file(tmp_path / "out.safetensors")
    weights.pop("scales")
    return weights.pop("losses"), weights


@pytest.mark.parametrize("amp, decay_norm_and_bias", [("off", False), ("bf16", True)])
def test_scripted_resnet18_follows_pytorchs_path_bit_for_bit(tmp_path, amp, decay_norm_and_bias):
    steps, settings = 3, SGD | dict(decay_norm_and_bias=decay_norm_and_bias)
    inputs = batches(steps, size=4, pixels=32)
    torch.manual_seed(4)
    model = torchvision.models.resnet18(num_classes=CLASSES)
    torch.jit.script(model).save(tmp_path / "model.pt")
    losses, ours = train_ours(tmp_path, tmp_path / "model.pt", model.state_dict(), inputs, settings, amp=amp)
    theirs, _ = train_with_torch(model, inputs, steps, channels_last=True, fused=True,
                                 amp=torch.bfloat16 if amp == "bf16" else None, **settings)
    assert torch.equal(losses, theirs), losses - theirs
    state = model.state_dict()
    assert ours.keys() == state.keys()
    assert [key for key in state if not torch.equal(ours[key], state[key])] == []


def test_weights_of_the_file_are_where_training_begins(tmp_path):
    model = torchvision.models.resnet18(num_classes=CLASSES)
    torch.jit.script(model).save(tmp_path / "model.pt")
    judge("init", section(torchscript=str(tmp_path / "model.pt")), CLASSES, 7, tmp_path / "w.safetensors")
    ours, theirs = load_file(tmp_path / "w.safetensors"), model.state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def exported(name):
    """A model of timm, as its users export it."""
    torch.manual_seed(5)
    if name == "vit":  # nothing in it differs between training and evaluation: it may be traced
        model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=CLASSES, depth=2)
        return model, torch.jit.trace(model, torch.zeros(2, 3, 64, 64))
    model = timm.create_model(name, num_classes=CLASSES, scriptable=True)
    return model, torch.jit.script(model)


@pytest.mark.parametrize("name", ["resnet18d", "vit"])
def test_timms_models_have_its_logits_and_gradients(tmp_path, name):
    model, script = exported(name)
    for module in model.modules():  # what is drawn differs
        assert not isinstance(module, torch.nn.Dropout) or module.p == 0
    script.save(tmp_path / "model.pt")
    torch.manual_seed(1)
    images, labels = torch.randn(8, 3, 64, 64), torch.randint(CLASSES, (8,))
    save_file({"images": images, "labels": labels}, tmp_path / "in.safetensors")
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    judge("step", section(torchscript=str(tmp_path / "model.pt")), CLASSES, tmp_path / "w.safetensors",
          tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    ours = load_file(tmp_path / "out.safetensors")
    theirs = one_step(lambda: copy.deepcopy(model), model.state_dict(), images, labels, memory_format=torch.channels_last)
    assert ours.keys() == theirs.keys()
    errors = {key: relative_error(ours[key].double(), value.double()) for key, value in theirs.items()}
    assert max(errors.values()) <= 1e-5, errors
