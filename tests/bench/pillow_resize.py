"""Pillow's own time for the resizes of feed_kernels_bench, to be run beside it. Needs Pillow and numpy."""

import time

import numpy
from PIL import Image

SIZES = [((500, 375), (224, 224)), ((400, 400), (224, 224)), ((300, 400), (224, 224)), ((150, 150), (224, 224)), ((180, 180), (64, 64))]

for (width, height), size in SIZES:
    noise = numpy.random.default_rng(0).integers(0, 256, (height, width, 3), numpy.uint8)
    picture = Image.fromarray(noise)
    times = []
    for _ in range(15):
        start = time.process_time_ns()
        for _ in range(50):
            picture.resize(size, Image.Resampling.BILINEAR)
        times.append((time.process_time_ns() - start) / 50e3)
    print(f"Resize/{width}x{height}_to_{size[0]}x{size[1]}/Pillow {Image.__version__}: {sorted(times)[7]:.1f} us CPU")
