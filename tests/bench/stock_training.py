#!/usr/bin/env python3
"""Trains torchvision's ResNet on an image folder as PyTorch's users do: what `millrace train` is put beside.

The values are those of configs/imagenette-resnet18-64px-cpu.toml: random crops of 0.35 to 1 of the picture and flips by
torchvision on Pillow pictures in a DataLoader with a worker for each core, SGD with Nesterov momentum, decay on all
parameters, OneCycleLR without momentum cycling, label smoothing 0.1, float32, the last batch of an epoch left out;
evaluation on the middle of each picture after each epoch. Tells one JSON object: accuracies and seconds, in all (from the
start of the process) and of training alone.

Usage: stock_training.py --data FOLDER (with train/ and val/) [--seed 0] [--epochs 16] [--size 64] [--threads N]
"""

import argparse
import json
import os
import sys
import time

STARTED_S = time.monotonic()

import torch  # noqa: E402
import torchvision  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def loaders(args: argparse.Namespace) -> tuple:
    """Of training and evaluation, in torchvision's and PyTorch's usual form."""
    tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    train = v2.Compose([v2.RandomResizedCrop(args.size, scale=(0.35, 1.0)), v2.RandomHorizontalFlip(), *tensor])
    val = v2.Compose([v2.Resize(args.size * 73 // 64), v2.CenterCrop(args.size), *tensor])
    options = {"num_workers": args.threads, "persistent_workers": True}
    return (torch.utils.data.DataLoader(torchvision.datasets.ImageFolder(f"{args.data}/train", train), 64, shuffle=True,
                                        drop_last=True, **options),
            torch.utils.data.DataLoader(torchvision.datasets.ImageFolder(f"{args.data}/val", val), 256, **options))


def top1(model: torch.nn.Module, batches: torch.utils.data.DataLoader) -> float:
    model.eval()
    right = samples = 0
    with torch.no_grad():
        for images, labels in batches:
            said = model(images.contiguous(memory_format=torch.channels_last)).argmax(1)
            right += int((said == labels).sum())
            samples += len(labels)
    return right / samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    train, val = loaders(args)
    model = torchvision.models.resnet18(num_classes=len(train.dataset.classes)).to(memory_format=torch.channels_last)
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=args.epochs * len(train),
                                                   cycle_momentum=False)
    accuracies, training_s = [], 0.0
    for epoch in range(args.epochs):
        begun_s = time.monotonic()
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss_function(model(images.contiguous(memory_format=torch.channels_last)), labels).backward()
            optimizer.step()
            schedule.step()
        training_s += time.monotonic() - begun_s
        accuracies.append(top1(model, val))
        print(f"stock_training: epoch {epoch + 1} of {args.epochs}: top-1 {accuracies[-1]:.4f}, "
              f"{time.monotonic() - begun_s:.1f} s", file=sys.stderr, flush=True)
    print(json.dumps({"seed": args.seed, "top1": accuracies, "seconds": round(time.monotonic() - STARTED_S, 1),
                      "training_s": round(training_s, 1), "torch": torch.__version__,
                      "torchvision": torchvision.__version__}))


if __name__ == "__main__":
    main()
