"""Feeds a .beton file through FFCV's Loader on the CPU and prints one JSON object; feed.py runs it.

The pipeline is that of FFCV's own script for ImageNet, but normalised on the CPU, as its documentation shows for the
CPU: while the pictures are still arrays, so that the table look-up is compiled with what comes before it.

Usage: feed_ffcv.py FILE.beton WORKERS BATCH SECONDS
"""

import sys

import numpy as np
import torch
from common import MEAN, STD, time_batches
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.reader import Reader
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage


def main() -> None:
    beton, workers, batch_size, seconds = sys.argv[1:]
    image = [RandomResizedCropRGBImageDecoder((224, 224)), RandomHorizontalFlip(),
             NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32), ToTensor(), ToTorchImage()]
    label = [IntDecoder(), ToTensor(), Squeeze()]
    # Every picture many times in one epoch: between epochs FFCV runs empty, which a small set would show too often.
    pictures = int(Reader(beton).num_samples)
    indices = np.tile(np.arange(pictures, dtype=np.uint64), 1 + 1_000_000 // pictures)
    loader = Loader(beton, batch_size=int(batch_size), num_workers=int(workers), order=OrderOption.RANDOM,
                    os_cache=True, indices=indices, pipelines={"image": image, "label": label})
    torch.set_num_threads(1)
    print(time_batches((images for images, _ in loader), int(batch_size), float(seconds)), flush=True)


if __name__ == "__main__":
    main()
