"""Decodes an image folder on a GPU with what NVIDIA offers and prints one JSON object.

    gpu_decode.py FOLDER [--batch 256] [--seconds 3] [--rounds 5] [--threads N]

- nvjpeg: torchvision's decode_jpeg(device="cuda"), which takes the hardware decoder where there is one
- nvimagecodec: its default backends, the hardware decoder first; what DALI's decoders stand on
- nvimagecodec, crop: the same with a random crop of each picture as the region to decode
- dali mixed: DALI's own ImageNet example, decoder with random crop on "mixed", resize and normalise on the GPU

The first three only decode: they have no resize and make no batch, which is to their advantage. What cannot be imported
is left out and named. Rates are pictures a second, in rounds that alternate; the bytes are in memory.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import torch

MEAN = [0.485 * 255, 0.456 * 255, 0.406 * 255]
STD = [0.229 * 255, 0.224 * 255, 0.225 * 255]


def random_crop(width: int, height: int, dice: random.Random) -> tuple[int, int, int, int]:
    """RandomResizedCrop's box: left, top, right, bottom."""
    for _ in range(10):
        area = width * height * dice.uniform(0.08, 1.0)
        aspect = 2.718281828 ** dice.uniform(-0.2876820724518, 0.2876820724518)
        w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = dice.randint(0, width - w), dice.randint(0, height - h)
            return left, top, left + w, top + h
    return 0, 0, width, height


def nvjpeg(folder: Path, options: argparse.Namespace):
    from torchvision.io import ImageReadMode, decode_jpeg

    tensors = [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in options.files]

    def batch(number: int) -> None:
        chosen = [tensors[(number * options.batch + i) % len(tensors)] for i in range(options.batch)]
        decode_jpeg(chosen, mode=ImageReadMode.RGB, device="cuda")

    return batch


def nvimagecodec(folder: Path, options: argparse.Namespace, crop: bool = False):
    from nvidia import nvimgcodec

    decoder = nvimgcodec.Decoder(device_id=0, max_num_cpu_threads=options.threads)
    files = [path.read_bytes() for path in options.files]
    dice = random.Random(1)

    def stream(data: bytes):
        code_stream = nvimgcodec.CodeStream(data)
        if not crop:
            return code_stream
        left, top, right, bottom = random_crop(code_stream.width, code_stream.height, dice)
        return code_stream.get_sub_code_stream(region=nvimgcodec.Region(top, left, bottom, right))

    def batch(number: int) -> None:
        chosen = [stream(files[(number * options.batch + i) % len(files)]) for i in range(options.batch)]
        pictures = decoder.decode(chosen)
        if any(picture is None for picture in pictures):
            raise RuntimeError("nvImageCodec could not decode a picture")

    return batch


def dali(folder: Path, options: argparse.Namespace):
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(device_id=0, seed=1)
    def feed():
        files, labels = fn.readers.file(file_root=str(folder), random_shuffle=True)
        images = fn.decoders.image_random_crop(files, device="mixed", output_type=types.RGB, random_area=[0.08, 1.0],
                                               random_aspect_ratio=[3 / 4, 4 / 3])
        images = fn.resize(images, resize_x=224, resize_y=224, interp_type=types.INTERP_LINEAR)
        images = fn.crop_mirror_normalize(images, dtype=types.FLOAT16, output_layout="HWC",
                                          mirror=fn.random.coin_flip(), mean=MEAN, std=STD)
        return images, labels

    pipeline = feed(batch_size=options.batch, num_threads=options.threads, prefetch_queue_depth=2)
    pipeline.build()

    def batch(number: int) -> None:
        pipeline.run()

    return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=16)
    options = parser.parse_args()
    options.files = sorted(options.folder.rglob("*.JPEG"))

    peers = {"nvjpeg": nvjpeg, "nvimagecodec": nvimagecodec,
             "nvimagecodec, crop": lambda folder, opts: nvimagecodec(folder, opts, crop=True), "dali mixed": dali}
    ready, missing, rates, cores = {}, {}, {}, {}
    for name, make in peers.items():
        try:
            ready[name] = make(options.folder, options)
            for number in range(3):
                ready[name](number)
            torch.cuda.synchronize()
        except Exception as error:  # noqa: BLE001 - a peer that does not run here is named with its reason
            ready.pop(name, None)
            missing[name] = f"{type(error).__name__}: {error}"[:300]
    for _ in range(options.rounds):
        for name, batch in ready.items():
            torch.cuda.synchronize()
            begin, cpu, done = time.monotonic(), time.process_time(), 0
            while time.monotonic() - begin < options.seconds:
                batch(done)
                done += 1
            torch.cuda.synchronize()
            seconds = time.monotonic() - begin
            rates.setdefault(name, []).append(done * options.batch / seconds)
            cores.setdefault(name, []).append((time.process_time() - cpu) / seconds)
    print(json.dumps({
        "device": torch.cuda.get_device_name(), "batch": options.batch, "missing": missing,
        "images_per_s": {name: {"median": round(statistics.median(all_)), "min": round(min(all_)),
                                "max": round(max(all_)), "cores": round(statistics.median(cores[name]), 2)}
                         for name, all_ in rates.items()}}, indent=1))


if __name__ == "__main__":
    main()
