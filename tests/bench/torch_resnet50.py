#!/usr/bin/env python3
"""Training rate of ResNet-50 in PyTorch, eager and compiled, beside which `millrace profile` is put.

The same work as configs/imagenet-resnet50.toml: torchvision's ResNet-50, 224 pixels, bfloat16 autocast, channels-last,
label smoothing 0.1, SGD with Nesterov momentum (fused), no weight decay on normalisation and biases. Batches are already on
the device: what is measured is the step alone. Each figure is the median over windows, with the smallest and the largest.

Usage: torch_resnet50.py [--batch 256] [--windows 7] [--seconds 3] [--amp bf16|fp16|off] [--tf32] [--eager-only] [--json F]
                         [--kernels]
"""

import argparse
import collections
import json
import statistics
import sys
import time

import torch
import torchvision


def optimizer_of(model: torch.nn.Module) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    undecayed = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": undecayed, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, fused=True)


def make_step(args: argparse.Namespace, compiled: str | None):
    """A function that does one step, and nothing that waits for it."""
    torch.manual_seed(0)
    device = torch.device(args.device)
    model = torchvision.models.resnet50(num_classes=1000).to(device, memory_format=torch.channels_last)
    optimizer = optimizer_of(model)
    images = torch.randn(args.batch, 3, args.pixels, args.pixels, device=device).contiguous(
        memory_format=torch.channels_last)
    labels = torch.randint(1000, (args.batch,), device=device)
    amp = {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[args.amp]
    scaler = torch.amp.GradScaler(device.type, enabled=args.amp == "fp16")
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    run = model if compiled is None else torch.compile(model, mode=compiled)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=amp, enabled=amp is not None):
            loss = loss_function(run(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def print_kernels(step) -> None:
    """Which kernels take how long, as tests/bench/gpu_step.cc has it for millrace."""
    steps = 5
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    kernels = collections.defaultdict(lambda: [0.0, 0])
    for event in profile.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            kernels[event.name][0] += event.device_time / 1000 / steps
            kernels[event.name][1] += 1
    print(f"by kernel: {sum(time for time, _ in kernels.values()):.3f} ms a step")
    for name, (time_ms, calls) in sorted(kernels.items(), key=lambda item: -item[1][0]):
        print(f"{time_ms:9.3f} ms {calls // steps:5} x  {name[:140]}")


def measure(args: argparse.Namespace, compiled: str | None) -> list[float]:
    """Images/s of each window."""
    wait = torch.cuda.synchronize if args.device.startswith("cuda") else (lambda: None)
    step = make_step(args, compiled)
    for _ in range(args.warm_up):
        step()
    wait()
    begin = time.perf_counter()
    for _ in range(3):
        step()
    wait()
    steps = max(3, round(args.seconds / ((time.perf_counter() - begin) / 3)))
    rates = []
    for _ in range(args.windows):
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        rates.append(steps * args.batch / (time.perf_counter() - begin))
    if args.kernels:
        print_kernels(step)
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--amp", choices=["bf16", "fp16", "off"], default="bf16")
    parser.add_argument("--tf32", action="store_true", help="float32 may be TensorFloat-32")
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3, help="of each window")
    parser.add_argument("--warm-up", type=int, default=10, help="steps; cuDNN tries its kernels in them")
    parser.add_argument("--eager-only", action="store_true", help="do not compile, which takes a minute")
    parser.add_argument("--modes", default="default", help="of torch.compile, by commas: default,max-autotune")
    parser.add_argument("--kernels", action="store_true", help="print which kernels take how long")
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    torch.backends.cudnn.allow_tf32 = args.tf32
    name = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else "CPU"
    print(f"{name}, PyTorch {torch.__version__}, ResNet-50, {args.pixels} px, batch {args.batch}, {args.amp}", flush=True)
    found = {"device": name, "torch": torch.__version__, "batch": args.batch, "amp": args.amp, "images_per_s": {}}
    modes = [None] if args.eager_only else [None, *args.modes.split(",")]
    for mode in modes:
        label = "eager" if mode is None else f"compile {mode}"
        rates = measure(args, mode)
        found["images_per_s"][label] = rates
        print(f"{label:<24} {statistics.median(rates):8.1f} images/s  ({min(rates):.1f} to {max(rates):.1f}, "
              f"{len(rates)} windows)", flush=True)
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
