"""Feeds an image folder through NVIDIA DALI on the CPU and prints one JSON object; feed.py runs it.

The operators are those of DALI's own ImageNet example, on the CPU: the decoder is given the crop and decodes no more of
a picture than it can leave out, and normalise and flip are one operator.

Usage: feed_dali.py FOLDER WORKERS BATCH SECONDS
"""

import sys

import numpy as np
from common import MEAN, STD, time_batches
from nvidia.dali import fn, pipeline_def, types


@pipeline_def(device_id=None, seed=1)
def feed(folder: str):
    files, labels = fn.readers.file(file_root=folder, random_shuffle=True)
    images = fn.decoders.image_random_crop(files, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0],
                                           random_aspect_ratio=[3 / 4, 4 / 3])
    images = fn.resize(images, resize_x=224, resize_y=224, interp_type=types.INTERP_LINEAR)
    images = fn.crop_mirror_normalize(images, dtype=types.FLOAT, output_layout="HWC", mirror=fn.random.coin_flip(),
                                      mean=[255 * value for value in MEAN], std=[255 * value for value in STD])
    return images, labels


def main() -> None:
    folder, workers, batch_size, seconds = sys.argv[1:]
    pipeline = feed(folder, batch_size=int(batch_size), num_threads=int(workers))
    pipeline.build()

    def batches():
        while True:
            images, _ = pipeline.run()
            yield np.asarray(images.as_tensor())

    print(time_batches(batches(), int(batch_size), float(seconds)))


if __name__ == "__main__":
    main()
