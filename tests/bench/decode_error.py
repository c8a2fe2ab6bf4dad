"""How far the pixels of decode.mode = "fast" are from those of "exact", as a table. Needs numpy and the program
preprocess_judge.

Every picture gets a random crop (8 % to all of the area, 3:4 to 4:3) per epoch, resized to each size. Rows count the
pictures that were decoded smaller; the last ones set resize = "opencv" beside "pillow", both decoded exactly.

Usage: decode_error.py FOLDER [EPOCHS]    with build/release/tests/stages/preprocess_judge, or MILLRACE_BUILD
"""

import json
import math
import os
import pathlib
import subprocess
import sys

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
JUDGE = ROOT / os.environ.get("MILLRACE_BUILD", "build/release") / "tests/stages/preprocess_judge"
SIZES = (224, 160, 128, 96, 64)


def size_of(path):
    """Width and height as the frame header of a JPEG has them."""
    data = path.read_bytes()
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")


def pixels(requests, size, mode, resize):
    ops = [{"op": "random_resized_crop", "size": size, "resize": resize}]
    done = subprocess.run([JUDGE, "transform", json.dumps({"ops": ops, "mode": mode})],
                          input="".join(line + "\n" for line in requests).encode(), stdout=subprocess.PIPE, check=True)
    return numpy.frombuffer(done.stdout, numpy.uint8).reshape(len(requests), -1)


def row(name, exact, other):
    differs = (exact != other).any(axis=1)
    difference = exact[differs].astype(numpy.float64) - other[differs]
    square = (difference**2).mean(axis=1)
    psnr = [10 * math.log10(255**2 / value) for value in square]
    print(f"| {name} | {differs.mean():.0%} | {abs(difference).mean():.2f} | {difference.mean():+.3f} | "
          f"{abs(difference).max():.0f} | {10 * math.log10(255**2 / square.mean()):.1f} | {min(psnr):.1f} |")


def main():
    files = sorted(pathlib.Path(sys.argv[1]).rglob("*.JPEG"))
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    requests = ["{} {} 1 {} {} {}".format(*size_of(file), epoch, number, file)
                for number, file in enumerate(files) for epoch in range(epochs)]
    print("| to | decoded smaller | mean difference | mean shift | largest | PSNR [dB] | of the worst picture |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        row(f"{size}x{size}", pixels(requests, size, "exact", "pillow"), pixels(requests, size, "fast", "pillow"))
    for size in (224, 64):
        row(f"{size}x{size}, OpenCV instead of Pillow", pixels(requests, size, "exact", "pillow"),
            pixels(requests, size, "exact", "opencv"))


if __name__ == "__main__":
    main()
