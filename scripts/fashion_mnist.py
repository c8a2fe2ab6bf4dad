#!/usr/bin/env python3
"""Writes Fashion-MNIST as an image folder of JPEGs: DIR/{train,val}/<class>/NNNNN.jpg, grey, quality 95.

Reads the IDX files of Debian's package dataset-fashion-mnist; val is the set's own test part. DIR appears only when it is
complete. The pinned Pillow of .venv writes the same bytes on every machine, so the converted set has the same fingerprint.

Usage: fashion_mnist.py DIR [FOLDER-OF-IDX-FILES]
"""

import gzip
import multiprocessing
import os
import shutil
import struct
import sys
from pathlib import Path

from PIL import Image

IDX_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PARTS = {"train": "train", "val": "t10k"}
CLASSES = ["0-t-shirt-or-top", "1-trouser", "2-pullover", "3-dress", "4-coat", "5-sandal", "6-shirt", "7-sneaker",
           "8-bag", "9-ankle-boot"]
QUALITY = 95
CHUNK = 2000  # pictures that one process writes in one go


def read_idx(path: Path, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """Shape and bytes of an IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist describes the format)."""
    with gzip.open(path) as file:
        content = file.read()
    zero, kind, found = struct.unpack_from(">HBB", content)
    if (zero, kind, found) != (0, 8, dimensions):
        raise SystemExit(f"{path} is not an IDX file of bytes in {dimensions} dimensions")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    data = content[4 + 4 * dimensions:]
    expected = 1
    for extent in shape:
        expected *= extent
    if len(data) != expected:
        raise SystemExit(f"{path} holds {len(data)} bytes where its header says {expected}")
    return shape, data


def write_chunk(job: tuple[Path, int, int, int, bytes, bytes]) -> int:
    """Writes the pictures of one chunk; returns how many."""
    folder, first, height, width, pixels, labels = job
    for i, label in enumerate(labels):
        picture = Image.frombytes("L", (width, height), pixels[i * height * width:(i + 1) * height * width])
        picture.save(folder / CLASSES[label] / f"{first + i:05}.jpg", quality=QUALITY)
    return len(labels)


def main() -> None:
    target = Path(sys.argv[1])
    idx_folder = Path(sys.argv[2]) if len(sys.argv) > 2 else IDX_FOLDER
    if target.exists():
        raise SystemExit(f"{target} is already there; remove it to write it again")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    jobs = []
    for part, name in PARTS.items():
        (count, height, width), pixels = read_idx(idx_folder / f"{name}-images-idx3-ubyte.gz", 3)
        (label_count,), labels = read_idx(idx_folder / f"{name}-labels-idx1-ubyte.gz", 1)
        if label_count != count:
            raise SystemExit(f"{idx_folder}/{name}: {count} pictures but {label_count} labels")
        for class_name in CLASSES:
            (partial / part / class_name).mkdir(parents=True)
        for first in range(0, count, CHUNK):
            end = min(first + CHUNK, count)
            jobs.append((partial / part, first, height, width, pixels[first * height * width:end * height * width],
                         labels[first:end]))
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        written = sum(pool.imap_unordered(write_chunk, jobs))
    partial.rename(target)
    print(f"{written} pictures in {target}")


if __name__ == "__main__":
    main()
