"""Sets the parts of model/ beside PyTorch, torchvision and the safetensors package.

Runs `model_judge` (tests/support/model_judge.cc) of the build named by MILLRACE_BUILD (default build/release).
"""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
JUDGE = ROOT / os.environ.get("MILLRACE_BUILD", "build/release") / "tests/model/model_judge"
CLASSES = 10


def judge(*arguments: object) -> str:
    done = subprocess.run([JUDGE, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def section(**values: object) -> str:
    return json.dumps(values)


def torchvision_model(name: str, seed: int = 0, **options: object) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torchvision.models.get_model(name, num_classes=CLASSES, **options)


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference over the largest value."""
    scale = theirs.abs().max().item()
    return (ours - theirs).abs().max().item() / scale if scale > 0 else ours.abs().max().item()


def shake_norms(model: torch.nn.Module) -> None:
    """Gives normalisations values that differ, so that a mixed-up buffer shows."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


@pytest.mark.parametrize("name, seed", [("resnet18", 0), ("resnet18", 2**40 + 1), ("resnet34", 7), ("resnet50", 7)])
def test_initial_weights_are_torchvisions_bit_for_bit(tmp_path, name, seed):
    judge("init", section(name=name), CLASSES, seed, tmp_path / "w.safetensors")
    ours = load_file(tmp_path / "w.safetensors")
    model = torchvision_model(name, seed)
    theirs = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(ours, strict=True)
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize("name", ["resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
                                  "wide_resnet50_2", "wide_resnet101_2"])
def test_other_members_too(tmp_path, name):
    judge("init", section(name=name), CLASSES, 1, tmp_path / "w.safetensors")
    ours = load_file(tmp_path / "w.safetensors")
    theirs = torchvision_model(name, 1).state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def test_zero_init_residual(tmp_path):
    for name in ("resnet18", "resnet50"):
        judge("init", section(name=name, zero_init_residual=True), CLASSES, 0, tmp_path / "w.safetensors")
        ours = load_file(tmp_path / "w.safetensors")
        theirs = torchvision_model(name, zero_init_residual=True).state_dict()
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


class Blurred(torch.nn.Module):
    """ffcv-imagenet's BlurPoolConv2d, in the words of its definition."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
        self.kernel = kernel.repeat(conv.in_channels, 1, 1, 1)

    def forward(self, x):
        return self.conv(torch.nn.functional.conv2d(x, self.kernel, padding=1, groups=self.conv.in_channels))


def blur(module):
    """Its apply_blurpool()."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Conv2d) and max(child.stride) > 1 and child.in_channels >= 16:
            setattr(module, name, Blurred(child))
        else:
            blur(child)


def one_step(name, state, images, labels, *, memory_format, change=lambda model: None):
    """`name`: torchvision's, or what makes the model."""
    model = name() if callable(name) else torchvision_model(name)
    model.load_state_dict(state, strict=True)
    change(model)
    model.to(memory_format=memory_format)
    images = images.contiguous(memory_format=memory_format)
    model.eval()
    with torch.inference_mode():
        out = {"eval": model(images)}
    model.train()
    out["train"] = model(images)
    loss = torch.nn.functional.cross_entropy(out["train"], labels, label_smoothing=0.1)
    loss.backward()
    out["loss"] = loss.detach()
    for key, value in model.named_parameters():
        out["gradient." + (key.replace(".conv.weight", ".weight") if change is blur else key)] = value.grad
    out |= {key: value for key, value in model.named_buffers()}
    return out


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_logits_and_gradients(tmp_path, name):
    """In the same memory format everything agrees. Across formats the kernels differ, and with them the rounding; a
    ReLU at the edge then passes a gradient or not, so that single entries of PyTorch's own two results part by
    percents. There the logits are compared, and the gradient's direction as a whole."""
    model = torchvision_model(name)
    shake_norms(model)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.manual_seed(1)
    images = torch.randn(16, 3, 64, 64)
    labels = torch.randint(CLASSES, (16,))
    save_file({"images": images, "labels": labels}, tmp_path / "in.safetensors")
    judge("step", section(name=name), CLASSES, tmp_path / "w.safetensors", tmp_path / "in.safetensors",
          tmp_path / "out.safetensors")
    ours = load_file(tmp_path / "out.safetensors")
    state = load_file(tmp_path / "w.safetensors")

    same = one_step(name, state, images, labels, memory_format=torch.channels_last)
    assert ours.keys() == same.keys()
    errors = {key: relative_error(ours[key].double(), value.double()) for key, value in same.items()}
    assert max(errors.values()) <= 1e-5, errors

    other = one_step(name, state, images, labels, memory_format=torch.contiguous_format)
    assert relative_error(ours["eval"], other["eval"]) <= 1e-5
    assert relative_error(ours["train"], other["train"]) <= 1e-3
    keys = [key for key in other if key.startswith("gradient.")]
    both = [torch.cat([values[key].double().flatten() for key in keys]) for values in (ours, other)]
    assert torch.nn.functional.cosine_similarity(*both, dim=0) >= 0.995


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_blurpool_is_ffcvs(tmp_path, name):
    model = torchvision_model(name)
    shake_norms(model)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.manual_seed(1)
    images, labels = torch.randn(8, 3, 64, 64), torch.randint(CLASSES, (8,))
    save_file({"images": images, "labels": labels}, tmp_path / "in.safetensors")
    judge("step", section(name=name, blurpool=True), CLASSES, tmp_path / "w.safetensors", tmp_path / "in.safetensors",
          tmp_path / "out.safetensors")
    ours = load_file(tmp_path / "out.safetensors")
    theirs = one_step(name, model.state_dict(), images, labels, memory_format=torch.channels_last, change=blur)
    assert ours.keys() == theirs.keys()
    errors = {key: relative_error(ours[key].double(), value.double()) for key, value in theirs.items()}
    assert max(errors.values()) <= 1e-5, errors
    plain = one_step(name, model.state_dict(), images, labels, memory_format=torch.channels_last)
    assert relative_error(ours["eval"], plain["eval"]) > 1e-2


@pytest.mark.parametrize("name, blocks", [("resnet18", 8), ("resnet50", 16)])
def test_stochastic_depth_leaves_branches_out(tmp_path, name, blocks):
    """torchvision's network, with what the last normalisation of each block gives multiplied as StochasticDepth does."""
    rate = 0.5
    model = torchvision_model(name)
    shake_norms(model)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.manual_seed(1)
    images, labels = torch.randn(8, 3, 64, 64), torch.randint(CLASSES, (8,))
    save_file({"images": images, "labels": labels}, tmp_path / "in.safetensors")
    judge("step", section(name=name, stochastic_depth=rate), CLASSES, tmp_path / "w.safetensors",
          tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    ours = load_file(tmp_path / "out.safetensors")
    judge("depth", rate, blocks, 0, 3, len(images), tmp_path / "depth.safetensors")
    factors = load_file(tmp_path / "depth.safetensors")["factors"]
    assert (factors == 0).any() and (factors[:, 1:] > 1).any()

    def leave_out(network):
        last = [module for key, module in network.named_modules() if key.endswith("bn2" if blocks == 8 else "bn3")]
        assert len(last) == blocks
        for module, kept in zip(last, factors.T):
            module.register_forward_hook(lambda module, _, out, kept=kept:
                                         out * kept.view(-1, 1, 1, 1) if module.training else out)

    theirs = one_step(name, model.state_dict(), images, labels, memory_format=torch.channels_last, change=leave_out)
    assert ours.keys() == theirs.keys()
    errors = {key: relative_error(ours[key].double(), value.double()) for key, value in theirs.items()}
    assert max(errors.values()) <= 1e-5, errors


def test_stochastic_depth_is_as_deep_as_torchvisions(tmp_path):
    """Each block's factors have the values of torchvision's operator, as often; they change with seed, epoch and sample."""
    rate, blocks, samples = 0.4, 5, 4000

    def draw(seed, epoch):
        judge("depth", rate, blocks, seed, epoch, samples, tmp_path / "depth.safetensors")
        return load_file(tmp_path / "depth.safetensors")["factors"]

    factors = draw(1, 0)
    for block, ours in enumerate(factors.T):
        left_out = rate * block / (blocks - 1)
        theirs = torchvision.ops.stochastic_depth(torch.ones(samples, 1), left_out, "row").unique()
        assert torch.allclose(ours.unique(), theirs)
        assert (ours == 0).double().mean().item() == pytest.approx(left_out, abs=0.04)
    assert torch.equal(factors, draw(1, 0))
    for other in (draw(2, 0), draw(1, 1), factors.roll(1, 0)):
        assert not torch.equal(factors, other)


def train_with_torch(model, inputs, steps, *, channels_last, amp=None, scaler=None, **options):
    """Returns the losses, and the scales after each step; `model` holds the final weights."""
    if channels_last:
        model.to(memory_format=torch.channels_last)
    model.train()
    decayed = [value for value in model.parameters() if value.dim() > 1]
    others = [value for value in model.parameters() if value.dim() <= 1]
    decay_others = options.pop("decay_norm_and_bias", True)
    groups = [{"params": decayed}, {"params": others} if decay_others else {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, **options)
    losses, scales = [], []
    scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
    for i in range(steps):
        images = inputs[f"images.{i}"]
        if channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=amp or torch.bfloat16, enabled=amp is not None):
            logits = model(images).float()
            loss = torch.nn.functional.cross_entropy(logits, inputs[f"labels.{i}"], label_smoothing=0.1)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        scales.append(scaler.get_scale())
    return torch.tensor(losses), torch.tensor(scales)


def train_ours(tmp_path, inputs, settings, *, memory_format="channels_last", amp="off", scale=1.0, interval=1):
    """Losses, scales after each step, and the final weights."""
    save_file(inputs, tmp_path / "in.safetensors")
    save_file(torchvision_model("resnet18").state_dict(), tmp_path / "w.safetensors")
    judge("train", section(name="resnet18", memory_format=memory_format), section(name="sgd", **settings), CLASSES,
          tmp_path / "w.safetensors", tmp_path / "in.safetensors", tmp_path / "out.safetensors", section(amp=amp), scale, interval)
    weights = load_file(tmp_path / "out.safetensors")
    return weights.pop("losses"), weights.pop("scales"), weights


def batches(steps, size=16, pixels=64):
    torch.manual_seed(2)
    inputs = {f"images.{i}": torch.randn(size, 3, pixels, pixels) for i in range(steps)}
    return inputs | {f"labels.{i}": torch.randint(CLASSES, (size,)) for i in range(steps)}


@pytest.mark.parametrize("settings", [
    dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, decay_norm_and_bias=True),
    dict(lr=0.05, momentum=0.9, nesterov=False, weight_decay=1e-2, decay_norm_and_bias=False),
    dict(lr=0.05, momentum=0.0, nesterov=False, weight_decay=5e-4, decay_norm_and_bias=True)])
def test_sgd_follows_the_same_path(tmp_path, settings):
    steps = 20
    inputs = batches(steps)
    our_losses, _, ours = train_ours(tmp_path, inputs, settings, memory_format="contiguous")

    # The same kernels in the same order give the same bits. PyTorch's default format of memory: in channels-last some
    # processors compute gradients over small images otherwise here (model/tap_convolution.h), and on random pictures
    # two ways to compute part fast, PyTorch's own in its two formats by 0.1 within four steps.
    model = torchvision_model("resnet18")
    losses, _ = train_with_torch(model, inputs, steps, channels_last=False, fused=True, **settings)
    theirs = model.state_dict()
    assert torch.equal(our_losses, losses), our_losses - losses
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []

    # PyTorch's default is another kernel with other roundings, which grow from step to step: on random pictures tenfold
    # in two or three.
    losses, _ = train_with_torch(torchvision_model("resnet18"), inputs, 8, channels_last=False, fused=False, **settings)
    assert (our_losses[:8] - losses).abs().max() <= 1e-4


# The scale doubles after every step until float16 overflows. It must not do so in the first step: PyTorch's fused SGD then
# goes on with momentum that nothing has written.
@pytest.mark.parametrize(("amp", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_and_gradient_scaling_are_pytorchs(tmp_path, amp, dtype):
    steps, scale, interval = 10, 256.0, 1  # float16 is slow where the processor has no instructions for it
    settings = dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    inputs = batches(steps, size=4, pixels=32)
    our_losses, our_scales, ours = train_ours(tmp_path, inputs, settings, amp=amp, scale=scale, interval=interval)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=interval) if amp == "fp16" else None
    model = torchvision_model("resnet18")
    losses, scales = train_with_torch(model, inputs, steps, channels_last=True, fused=True, amp=dtype, scaler=scaler,
                                      **settings)
    assert torch.equal(our_losses, losses), our_losses - losses
    if amp == "fp16":
        assert torch.equal(our_scales, scales)
        assert any(after < before for before, after in zip(scales, scales[1:])), "no overflow"
    theirs = model.state_dict()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize("total", [1, 2, 10, 333, 1000])
def test_one_cycle_rates(total):
    settings = dict(pct_start=0.25, div_factor=10.0, final_div_factor=1e3)
    check_rates(section(name="one_cycle", **settings), 0.1, 10, total,
                lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total, cycle_momentum=False,
                                                                      **settings))


def test_one_cycle_rates_with_default_settings():
    check_rates(section(name="one_cycle"), 0.1, 147, 735,
                lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 735, cycle_momentum=False))


def test_cosine_rates():
    check_rates(section(name="cosine", min_lr=1e-4), 0.5, 10, 200,
                lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200, 1e-4))


def test_cosine_rates_after_warmup():
    def make(optimizer):
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 25)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 175, 1e-4)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], [25])

    check_rates(section(name="cosine", min_lr=1e-4, warmup_epochs=2.5, warmup_factor=0.1), 0.5, 10, 200, make)


def test_multi_step_rates():
    check_rates(section(name="multi_step", milestones=[3, 6.5, 9], gamma=0.2), 0.1, 10, 120,
                lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 65, 90], 0.2))


def test_multi_step_rates_after_warmup():
    def make(optimizer):
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, 20)
        steps = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60], 0.1)
        return torch.optim.lr_scheduler.ChainedScheduler([linear, steps])

    check_rates(section(name="multi_step", milestones=[3, 6], warmup_epochs=2), 0.1, 10, 100, make)


@pytest.mark.parametrize("power", [1.0, 0.9, 2.0])
def test_polynomial_rates(power):
    check_rates(section(name="polynomial", power=power), 0.5, 10, 200,
                lambda optimizer: torch.optim.lr_scheduler.PolynomialLR(optimizer, 200, power))


def test_polynomial_rates_after_warmup():
    def make(optimizer):
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, 20)
        polynomial = torch.optim.lr_scheduler.PolynomialLR(optimizer, 180, 2.0)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, polynomial], [20])

    check_rates(section(name="polynomial", power=2.0, warmup_epochs=2), 0.5, 10, 200, make)


def test_polynomial_makes_the_ramps_of_ffcv():
    """ffcv-imagenet's train_imagenet.py: get_cyclic_lr at both ends of each epoch, and np.interp between them."""
    lr, epochs, peak, iterations = 1.7, 16, 2, 10

    def at_epoch(epoch):
        return np.interp(epoch, [0, peak, epochs], [1e-4 * lr, lr, 0])

    theirs = np.concatenate([np.interp(np.arange(iterations), [0, iterations], [at_epoch(e), at_epoch(e + 1)])
                             for e in range(epochs)])
    settings = section(name="polynomial", warmup_epochs=peak, warmup_factor=1e-4)
    ours = [float(line) for line in judge("schedule", settings, lr, iterations, epochs * iterations).split()]
    assert ours == pytest.approx(theirs, rel=1e-9, abs=0)


def test_constant_rates_after_warmup():
    check_rates(section(name="constant", warmup_epochs=1, warmup_factor=0.25), 0.3, 40, 80,
                lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 0.25, 1.0, 40))


def check_rates(settings, lr, steps_per_epoch, total, make):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=lr)
    scheduler = make(optimizer)
    ours = [float(line) for line in judge("schedule", settings, lr, steps_per_epoch, total).split()]
    theirs = []
    for _ in range(total):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(theirs) < total:
            scheduler.step()
    assert ours == pytest.approx(theirs, rel=1e-9, abs=0)


def test_counts_are_topk_counts(tmp_path):
    torch.manual_seed(4)
    logits, labels = torch.randn(500, 20), torch.randint(20, (500,))
    save_file({"logits": logits, "labels": labels}, tmp_path / "in.safetensors")
    samples, top1, top5, loss = judge("counts", 20, tmp_path / "in.safetensors").split()
    hits = logits.topk(5, dim=1).indices == labels[:, None]
    assert (int(samples), int(top1), int(top5)) == (500, hits[:, 0].sum(), hits.sum())
    assert float(loss) == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-6)


@pytest.mark.parametrize("samples", [1, 7, 500])
def test_metrics_are_those_of_torchmetrics(tmp_path, samples):
    """Labels of a class that is never among them, and answers of one."""
    classes, bins = 12, 10
    torch.manual_seed(6)
    logits, labels = torch.randn(samples, classes) * 2, torch.randint(classes - 1, (samples,))
    logits[:, 3] -= 50
    save_file({"logits": logits, "labels": labels}, tmp_path / "in.safetensors")
    metrics = [{"metric": "mean_class_accuracy"}, {"metric": "macro_f1"}, {"metric": "brier_score"},
               {"metric": "calibration_error"}, {"metric": "calibration_error", "bins": bins, "name": "ten_bins"}]
    told = judge("metrics", json.dumps({"metrics": metrics}), classes, tmp_path / "in.safetensors").split()
    ours = dict(zip(told[::2], map(float, told[1::2]), strict=True))
    per_class = torchmetrics.functional.classification.multiclass_recall(logits, labels, classes, average="none")
    probabilities = logits.double().softmax(1)
    expected = {"mean_class_accuracy": per_class[labels.unique()].mean(),
                "macro_f1": torchmetrics.functional.classification.multiclass_f1_score(logits, labels, classes, average="macro"),
                "brier_score": (probabilities - torch.nn.functional.one_hot(labels, classes)).square().sum(1).mean()}
    for name, count in (("calibration_error", 15), ("ten_bins", bins)):
        expected[name] = torchmetrics.functional.classification.multiclass_calibration_error(
            probabilities, labels, classes, n_bins=count, norm="l1")
    assert ours == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-6)


def test_safetensors_of_every_type_both_ways(tmp_path):
    torch.manual_seed(5)
    tensors = {f"{dtype}": (torch.randn(3, 5) * 3).to(dtype)
               for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                             torch.uint8, torch.bool)}
    tensors |= {"scalar": torch.tensor(3.5), "empty": torch.zeros(4, 0, 2), "odd": torch.ones(3, dtype=torch.uint8),
                'name "quoted" \\ é': torch.arange(4)}
    metadata = {"config": 'lr = 1\n"ä"', "empty": ""}
    save_file(tensors, tmp_path / "theirs.safetensors", metadata)
    judge("copy", tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors")
    ours = load_file(tmp_path / "ours.safetensors")
    assert ours.keys() == tensors.keys()
    for key, value in tensors.items():
        assert ours[key].dtype == value.dtype and torch.equal(ours[key], value), key
    with safe_open(tmp_path / "ours.safetensors", "pt") as file:
        assert file.metadata() == metadata
