"""Sets optimizers under every schedule beside those of PyTorch and timm.

Runs `model_judge`, as test_model.py does.
"""

import json

import pytest
import timm.optim
import torch
from safetensors.torch import load_file, save_file
from test_model import batches, judge, relative_error, section, torchvision_model
from torch.optim import lr_scheduler

STEPS, STEPS_PER_EPOCH = 20, 5

SCHEDULES = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    "multi_step": (dict(milestones=[1, 2.4, 3], gamma=0.3), lambda o: lr_scheduler.MultiStepLR(o, [5, 12, 15], 0.3)),
    "cosine": (dict(min_lr=1e-4, warmup_epochs=1, warmup_factor=0.1), lambda o: after_warmup(
        o, 0.1, lr_scheduler.CosineAnnealingLR(o, STEPS - STEPS_PER_EPOCH, 1e-4))),
    "polynomial": (dict(power=2.0, warmup_epochs=1, warmup_factor=0.1), lambda o: after_warmup(
        o, 0.1, lr_scheduler.PolynomialLR(o, STEPS - STEPS_PER_EPOCH, 2.0))),
    "one_cycle": ({}, lambda o: lr_scheduler.OneCycleLR(o, o.defaults["lr"], STEPS, cycle_momentum=False)),
}

# Settings of ours, and the judge's constructor from groups. The judges are the plainest that there are: one tensor after
# the other, no fused kernels.
PLAIN = dict(foreach=False)
OPTIMIZERS = {
    "sgd": (dict(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, **PLAIN)),
    "adamw": (dict(name="adamw", lr=0.01, betas=[0.8, 0.95], eps=1e-6, weight_decay=0.1),
              lambda groups: torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1, **PLAIN)),
    "adamw by default": (dict(name="adamw", lr=0.01), lambda groups: torch.optim.AdamW(groups, lr=0.01, **PLAIN)),
    "lars": (dict(name="lars", lr=2.0, momentum=0.9, weight_decay=0.01, trust_coefficient=0.02),
             lambda groups: timm.optim.Lars(groups, lr=2.0, momentum=0.9, weight_decay=0.01, trust_coeff=0.02, **PLAIN)),
    "lars, clipped ratios": (
        dict(name="lars", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, trust_coefficient=0.2,
             trust_clip=True),
        lambda groups: timm.optim.Lars(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, trust_coeff=0.2,
                                       trust_clip=True, **PLAIN)),
    "lamb": (dict(name="lamb", lr=0.02, betas=[0.8, 0.95], eps=1e-5, weight_decay=0.1),
             lambda groups: timm.optim.Lamb(groups, lr=0.02, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.1,
                                            max_grad_norm=None, **PLAIN)),
    "lamb by default, clipped ratios": (
        dict(name="lamb", lr=0.02, trust_clip=True),
        lambda groups: timm.optim.Lamb(groups, lr=0.02, max_grad_norm=None, trust_clip=True, **PLAIN)),
}


def after_warmup(optimizer, factor, schedule):
    # Each constructor has set the rates anew: the warm-up's must be the last.
    linear = lr_scheduler.LinearLR(optimizer, factor, 1.0, STEPS_PER_EPOCH)
    return lr_scheduler.SequentialLR(optimizer, [linear, schedule], [STEPS_PER_EPOCH])


def parameters():
    """A convolution's, a normalisation's and a classifier's; one that begins with 0, and one whose gradient is 0."""
    torch.manual_seed(6)
    return {"conv.weight": torch.randn(8, 4, 3, 3) * 0.1, "norm.weight": torch.ones(8), "norm.bias": torch.zeros(8),
            "fc.weight": torch.randn(10, 8), "fc.bias": torch.randn(10), "zero.weight": torch.zeros(3, 4),
            "still.weight": torch.randn(4, 4)}


def gradients():
    """Of each step: a random one, of changing length."""
    shapes = parameters()
    generator = torch.Generator().manual_seed(7)
    drawn = [{name: torch.randn(value.shape, generator=generator) * (0.1 + 0.1 * (step % 5))
              for name, value in shapes.items()} for step in range(STEPS)]
    for step in drawn:
        step["still.weight"].zero_()
    return drawn


def updates_ours(tmp_path, optimizer, schedule, found_inf=None):
    inputs = {f"parameter.{name}": value for name, value in parameters().items()}
    for step, drawn in enumerate(gradients()):
        inputs |= {f"gradient.{step}.{name}": value for name, value in drawn.items()}
    if found_inf is not None:
        inputs["found_inf"] = found_inf
    save_file(inputs, tmp_path / "in.safetensors")
    judge("updates", json.dumps(optimizer), json.dumps(schedule), STEPS_PER_EPOCH, tmp_path / "in.safetensors",
          tmp_path / "out.safetensors")
    return load_file(tmp_path / "out.safetensors")


def updates_theirs(make, make_schedule, *, decay_norm_and_bias=True, clip_norm=0.0, skipped=()):
    """Rates of all groups, and parameters after each step."""
    values = {name: torch.nn.Parameter(value) for name, value in parameters().items()}
    groups = [{"params": [value for value in values.values() if value.dim() > 1 or decay_norm_and_bias]}]
    if not decay_norm_and_bias:
        groups.append({"params": [value for value in values.values() if value.dim() <= 1], "weight_decay": 0.0})
    optimizer = make(groups)
    schedule = make_schedule(optimizer)
    rates, after = [], {}
    for step, drawn in enumerate(gradients()):
        for name, value in values.items():
            value.grad = drawn[name]
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(values.values(), clip_norm)
        rates.append([group["lr"] for group in optimizer.param_groups])
        if step not in skipped:
            optimizer.step()
        schedule.step()
        after |= {f"{step}.{name}": value.detach().clone() for name, value in values.items()}
    return rates, after


def expect_equal(ours, rates, after, tolerance=1e-6):
    for group in range(len(rates[0])):
        assert ours["rates"].tolist() == pytest.approx([at[group] for at in rates], rel=1e-9, abs=0)
    errors = {name: relative_error(ours[name].double(), value.double()) for name, value in after.items()}
    assert {name: error for name, error in errors.items() if not error <= tolerance} == {}


@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rates_and_groups_at_every_step(tmp_path, optimizer, schedule, decay_norm_and_bias):
    settings, make = OPTIMIZERS[optimizer]
    schedule_settings, make_schedule = SCHEDULES[schedule]
    ours = updates_ours(tmp_path, settings | dict(decay_norm_and_bias=decay_norm_and_bias),
                        schedule_settings | dict(name=schedule))
    rates, after = updates_theirs(make, make_schedule, decay_norm_and_bias=decay_norm_and_bias)
    expect_equal(ours, rates, after)


@pytest.mark.parametrize("clip_norm", [0.5, 6.0])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars", "lamb"])
def test_clipping(tmp_path, optimizer, clip_norm):
    norms = [torch.linalg.vector_norm(torch.cat([value.flatten() for value in drawn.values()])) for drawn in gradients()]
    assert min(norms) < 6.0 < max(norms), "6.0 should cut some gradients and leave others"
    settings, make = OPTIMIZERS[optimizer]
    _, make_schedule = SCHEDULES["constant"]
    ours = updates_ours(tmp_path, settings | dict(clip_norm=clip_norm), dict(name="constant"))
    expect_equal(ours, *updates_theirs(make, make_schedule, clip_norm=clip_norm))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars", "lamb"])
def test_updates_that_do_not_count_leave_no_trace(tmp_path, optimizer):
    settings, make = OPTIMIZERS[optimizer]
    _, make_schedule = SCHEDULES["constant"]
    skipped = (1, 2, 9)
    found_inf = torch.zeros(STEPS)
    found_inf[list(skipped)] = 1
    ours = updates_ours(tmp_path, settings, dict(name="constant"), found_inf)
    expect_equal(ours, *updates_theirs(make, make_schedule, skipped=skipped))


@pytest.mark.parametrize("settings, make", [
    (dict(name="sgd", lr=0.02, momentum=0.9, weight_decay=5e-4, clip_norm=1.0),
     lambda values: torch.optim.SGD(values, lr=0.02, momentum=0.9, weight_decay=5e-4, fused=True)),
    (dict(name="adamw", lr=1e-3, weight_decay=0.05, clip_norm=1.0),
     lambda values: torch.optim.AdamW(values, lr=1e-3, weight_decay=0.05, fused=True))])
def test_resnet18_goes_the_same_way_for_50_steps(tmp_path, settings, make):
    steps = 50
    inputs = batches(steps, size=8, pixels=32)
    save_file(inputs, tmp_path / "in.safetensors")
    model = torchvision_model("resnet18")
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    # PyTorch's own format, in which ATen's kernels do all on every processor.
    judge("train", section(name="resnet18", memory_format="contiguous"), json.dumps(settings), 10, tmp_path / "w.safetensors",
          tmp_path / "in.safetensors", tmp_path / "out.safetensors", section(amp="off"), 1.0, 1)
    ours = load_file(tmp_path / "out.safetensors")

    model.train()
    optimizer = make(model.parameters())
    losses = []
    for i in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs[f"images.{i}"]), inputs[f"labels.{i}"], label_smoothing=0.1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
        optimizer.step()
        losses.append(loss.item())
    assert (ours["losses"] - torch.tensor(losses)).abs().max() <= 1e-3
    # The same kernels in the same order: the same bits.
    assert [key for key, value in model.state_dict().items() if not torch.equal(ours[key], value)] == []


@pytest.mark.parametrize("every, warmup_epochs", [(1, 0), (3, 0), (2, 1.5)])
def test_average_of_weights_is_torchvisions(tmp_path, every, warmup_epochs):
    """references/classification: utils.py's ExponentialMovingAverage is this AveragedModel, train.py's train_one_epoch
    this loop. Counts of batches are ours: a copy."""
    decay, epochs, steps_per_epoch = 0.9, 3, 4
    network = dict(name="resnet18", width=8)
    judge("init", section(**network), 10, 0, tmp_path / "w.safetensors")
    model = torch.nn.Module()  # torchvision has none so narrow, and only its numbers matter
    for name, value in load_file(tmp_path / "w.safetensors").items():
        if "running" in name or "num_batches" in name:
            model.register_buffer(name.replace(".", "/"), value)
        else:
            model.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value))

    def numbers(step, of):
        return {f"{step}.{name.replace('/', '.')}": value.clone() for name, value in of.state_dict().items()}

    average = torch.optim.swa_utils.AveragedModel(
        model, avg_fn=lambda mean, value, _: decay * mean + (1 - decay) * value, use_buffers=True)
    generator = torch.Generator().manual_seed(9)
    inputs, wanted = {}, {}
    for epoch in range(epochs):
        for i in range(steps_per_epoch):
            for value in model.state_dict().values():
                if value.is_floating_point():
                    value.normal_(generator=generator)
            inputs |= numbers(epoch * steps_per_epoch + i, model)
            if i % every == 0:
                average.update_parameters(model)
                if epoch < warmup_epochs:
                    average.n_averaged.fill_(0)
            wanted |= numbers(epoch * steps_per_epoch + i, average.module)
    save_file(inputs, tmp_path / "in.safetensors")
    judge("average", section(**network, ema_decay=decay, ema_every_steps=every), steps_per_epoch,
          round(warmup_epochs * steps_per_epoch), tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    ours = load_file(tmp_path / "out.safetensors")
    assert ours.keys() == wanted.keys()
    errors = {name: relative_error(ours[name], value) for name, value in wanted.items() if value.is_floating_point()}
    assert {name: error for name, error in errors.items() if not error <= 1e-6} == {}
