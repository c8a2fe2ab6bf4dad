"""Feeds an image folder through torchvision in torch's DataLoader and prints one JSON object; feed.py runs it.

`v1` is what the reference scripts of torchvision and PyTorch's ImageNet example do: Pillow decodes and resizes. `v2` is
the fastest way of its documentation: libjpeg-turbo decodes into a tensor that is channels-last in memory, and the
antialiased resize works on uint8.

Usage: feed_torchvision.py v1|v2 FOLDER WORKERS BATCH SECONDS
"""

import sys

import torch
from common import MEAN, STD, time_batches
from torchvision import transforms, tv_tensors
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2


def tensor_of(path: str) -> tv_tensors.Image:
    return tv_tensors.Image(decode_image(path, mode=ImageReadMode.RGB))


def dataset_of(version: str, folder: str) -> ImageFolder:
    if version == "v1":
        return ImageFolder(folder, transforms.Compose([
            transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize(MEAN, STD)]))
    return ImageFolder(folder, v2.Compose([
        v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD)]), loader=tensor_of)


def main() -> None:
    version, folder, workers, batch_size, seconds = sys.argv[1:]
    torch.set_num_threads(1)
    dataset = dataset_of(version, folder)
    # One epoch without an end: between epochs a DataLoader runs empty, which a small set would show too often.
    order = torch.utils.data.RandomSampler(dataset, num_samples=100_000_000, replacement=True)
    loader = torch.utils.data.DataLoader(dataset, int(batch_size), sampler=order, num_workers=int(workers))
    print(time_batches((images for images, _ in loader), int(batch_size), float(seconds)))


if __name__ == "__main__":
    main()
