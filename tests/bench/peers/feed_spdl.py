"""Feeds an image folder through SPDL on the CPU and prints one JSON object; feed.py runs it.

A thread makes a whole batch, as in SPDL's own examples, so that Python runs seldom. SPDL has no random crop of its own:
FFmpeg's filters crop, resize and flip, with a box drawn for every picture once its size is read.

Usage: feed_spdl.py FOLDER WORKERS BATCH SECONDS
"""

import math
import os
import random
import sys
from pathlib import Path

# Each thread of the pipeline computes for itself; torch.set_num_threads() is about the thread that calls it.
os.environ["OMP_NUM_THREADS"] = "1"

import spdl.io
import torch
from common import MEAN, STD, pictures_of, time_batches
from spdl.pipeline import PipelineBuilder


def crop_of(width: int, height: int) -> tuple[int, int, int, int]:
    """Width, height, left and top as torchvision's RandomResizedCrop draws them."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return w, h, random.randint(0, width - w), random.randint(0, height - h)
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return w, h, (width - w) // 2, (height - h) // 2


def picture_of(path: str):
    packets = spdl.io.demux_image(path)
    w, h, x, y = crop_of(packets.width, packets.height)
    flip = ",hflip" if random.random() < 0.5 else ""
    # `exact`: without it FFmpeg moves the crop to a whole chroma sample.
    filters = f"crop={w}:{h}:{x}:{y}:exact=1,scale=224:224:flags=bilinear{flip},format=pix_fmts=rgb24"
    return spdl.io.decode_packets(packets, filter_desc=filters)


def batch_of(paths: list[str]) -> torch.Tensor:
    images = spdl.io.to_torch(spdl.io.convert_frames([picture_of(path) for path in paths]))
    # The channels repeat along a row, which makes the arithmetic one of long vectors.
    mean, std = (255 * torch.tensor(values).repeat(224) for values in (MEAN, STD))
    return images.view(-1, 3 * 224).to(torch.float32).sub_(mean).div_(std).view(images.shape)


def shuffled(paths: list[str]):
    while True:
        random.shuffle(paths)
        yield from paths


def main() -> None:
    folder, workers, batch_size, seconds = sys.argv[1:]
    pipeline = (PipelineBuilder()
                .add_source(shuffled(list(map(str, pictures_of(Path(folder))))))
                .aggregate(int(batch_size))
                .pipe(batch_of, concurrency=int(workers))
                .add_sink(2)
                .build(num_threads=int(workers)))
    with pipeline.auto_stop():
        print(time_batches(iter(pipeline), int(batch_size), float(seconds)))


if __name__ == "__main__":
    main()
