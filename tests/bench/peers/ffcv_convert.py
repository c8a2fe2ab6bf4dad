"""Converts an image folder with FFCV's DatasetWriter and prints one JSON object of what it took; conversion.py and
feed.py run it.

The settings are those of FFCV's own script for ImageNet, but JPEG for every picture: Pillow reads, as torchvision's
ImageFolder does, and OpenCV encodes at quality 90. With `opencv` as the reader OpenCV decodes too. FFCV has no way to
keep a JPEG's own bytes in a field from which it decodes pictures. Pictures whose longer side has more than MAX_SIDE
pixels are made smaller, unless that is 0.

Usage: ffcv_convert.py FOLDER FILE.beton WORKERS pillow|opencv MAX_SIDE
"""

import json
import multiprocessing
import os
import resource
import sys
import time

# On a single core numba waits for ever at the program's end for the oneTBB of OpenCV. The writer uses neither.
os.environ["NUMBA_THREADING_LAYER"] = "workqueue"

import cv2
from ffcv.fields import IntField, RGBImageField
from ffcv.reader import Reader
from ffcv.writer import DatasetWriter
from PIL import Image

QUALITY = 90


def pillow(path: str) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def opencv(path: str):
    # cvtColor because the writer takes RGB; it turns it back for its encoder.
    return cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


class ImageFolder:
    """Pictures and labels as torchvision's class of this name has them, without torchvision."""

    def __init__(self, folder: str, read) -> None:
        self.read = read
        classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        self.files = [(os.path.join(folder, name, file), label)
                      for label, name in enumerate(classes) for file in sorted(os.listdir(os.path.join(folder, name)))]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        path, label = self.files[index]
        return self.read(path), label


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    folder, beton, workers, reader, max_side = sys.argv[1:]
    # The writer's processes inherit what it has opened.
    multiprocessing.set_start_method("fork", force=True)
    # A process per worker: OpenCV's own threads would be more workers.
    cv2.setNumThreads(1)

    begin, begin_processor = time.monotonic(), processor_seconds()
    dataset = ImageFolder(folder, {"pillow": pillow, "opencv": opencv}[reader])
    image = RGBImageField(write_mode="jpg", jpeg_quality=QUALITY, max_resolution=int(max_side) or None)
    fields = {"image": image, "label": IntField()}
    DatasetWriter(beton, fields, num_workers=int(workers)).from_indexed_dataset(dataset)
    for process in multiprocessing.active_children():
        process.join()
    seconds, used = time.monotonic() - begin, processor_seconds() - begin_processor

    print(json.dumps({"records": int(Reader(beton).num_samples), "seconds": seconds, "processor_seconds": used}))


if __name__ == "__main__":
    main()
