"""Sets the losses of model/ beside PyTorch's and timm's, values and gradients; needs `model_judge`, as test_model.py."""

import pytest
import timm.loss
import torch
from safetensors.torch import load_file, save_file
from test_model import judge, section

CLASSES = 12


def loss(tmp_path, logits, targets, **settings):
    save_file({"logits": logits.detach(), "targets": targets}, tmp_path / "in.safetensors")
    judge("loss", section(**settings), tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    return load_file(tmp_path / "out.safetensors")


@pytest.fixture(params=["labels", "shares"])
def sample(request):
    """Logits, of both signs and some far out, and labels or what MixUp makes of them."""
    torch.manual_seed(8)
    logits = (torch.randn(40, CLASSES) * 8).requires_grad_()
    labels = torch.randint(CLASSES, (40,))
    if request.param == "labels":
        return logits, labels
    shares = torch.nn.functional.one_hot(labels, CLASSES).float()
    return logits, shares.roll(1, 0) * 0.3 + shares * 0.7


def compare(ours, samples, mean, logits):
    mean.backward()
    for name, theirs in {"samples": samples, "mean": mean, "gradient": logits.grad}.items():
        torch.testing.assert_close(ours[name], theirs.detach(), rtol=2e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_pytorchs(tmp_path, sample, smoothing):
    logits, targets = sample
    ours = loss(tmp_path, logits, targets, name="cross_entropy", label_smoothing=smoothing)
    theirs = {kind: torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction=kind)
              for kind in ("none", "mean")}
    compare(ours, theirs["none"], theirs["mean"], logits)


@pytest.mark.parametrize("sum_classes", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_timms(tmp_path, sample, smoothing, sum_classes):
    """Which smooths labels only: shares are smoothed here by the same formula."""
    logits, targets = sample
    ours = loss(tmp_path, logits, targets, name="binary_cross_entropy", label_smoothing=smoothing,
                sum_classes=sum_classes)
    if targets.dim() == 2:
        targets = targets * (1 - smoothing) + smoothing / CLASSES
    theirs = {kind: timm.loss.BinaryCrossEntropy(smoothing, reduction=kind, sum_classes=sum_classes and kind == "mean")
              for kind in ("none", "mean")}
    samples = theirs["none"](logits, targets)
    compare(ours, samples.sum(1) if sum_classes else samples.mean(1), theirs["mean"](logits, targets), logits)
