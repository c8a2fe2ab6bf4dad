"""Trains ResNet-18 on an image folder with stock PyTorch and torchvision.

The yardstick for `millrace train configs/imagenette-resnet18-64px-cpu.toml`: the same recipe, with one
DataLoader worker, printing one JSON object per epoch so that accuracy and rate can be set side by side.
"""

import argparse
import json
import time

import torch
import torchvision
from torchvision import transforms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="image folder with train/ and val/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0, help="intra-op threads; 0: PyTorch's default")
    parser.add_argument("--max-steps", type=int, default=0, help="stop after so many steps; 0: no limit")
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    train_set = torchvision.datasets.ImageFolder(
        f"{args.data}/train",
        transforms.Compose([
            transforms.RandomResizedCrop(64, scale=(0.35, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            normalize,
        ]))
    val_set = torchvision.datasets.ImageFolder(
        f"{args.data}/val",
        transforms.Compose([transforms.Resize(73), transforms.CenterCrop(64), transforms.ToTensor(), normalize]))
    train = torch.utils.data.DataLoader(train_set, args.batch, shuffle=True, num_workers=1, drop_last=True,
                                        persistent_workers=True)
    val = torch.utils.data.DataLoader(val_set, 256, num_workers=1, persistent_workers=True)

    model = torchvision.models.resnet18(num_classes=len(train_set.classes))
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
    loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=args.epochs * len(train),
                                                   cycle_momentum=False)
    step = 0
    for epoch in range(args.epochs):
        model.train()
        begin, seen, wait, mark = time.perf_counter(), 0, 0.0, time.perf_counter()
        for images, labels in train:
            wait += time.perf_counter() - mark
            if args.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            loss = loss_fn(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
            seen += len(labels)
            step += 1
            if step == args.max_steps:
                break
            mark = time.perf_counter()
        seconds = time.perf_counter() - begin
        row = {"epoch": epoch + 1, "images_per_s": seen / seconds, "wait_share": wait / seconds, "loss": loss.item()}
        if step != args.max_steps:
            model.eval()
            right = 0
            with torch.inference_mode():
                for images, labels in val:
                    right += (model(images).argmax(1) == labels).sum().item()
            row["val_top1"] = right / len(val_set)
        print(json.dumps(row), flush=True)
        if step == args.max_steps:
            break


if __name__ == "__main__":
    main()
