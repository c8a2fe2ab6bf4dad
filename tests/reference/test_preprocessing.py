"""Preprocessing against its references, byte for byte: Pillow and OpenCV for pixels, torchvision for the choice of
crops and for normalising. Needs the real pictures (MILLRACE_TEST_DATA) and the program preprocess_judge."""

import collections
import io
import json
import math
import random

import cv2
import numpy
import PIL
import pytest
import torch
import torchvision
from PIL import Image

from pixel_judge import DATA, Stream, run, unpack


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    return list(unpack(DATA / "imagenet-originals-200.tar", 200, tmp_path_factory.mktemp("originals")))


@pytest.fixture(scope="session")
def imagenette(tmp_path_factory):
    return list(unpack(DATA / "imagenette-224.tar", 500, tmp_path_factory.mktemp("imagenette")))


def boxes(width, height, draw, inner):
    """Crops (x, y, w, h) that touch each edge and corner, the whole picture, slivers, and `inner` random ones."""
    half_w, half_h = max(1, width // 2), max(1, height // 2)
    yield 0, 0, width, height
    yield 0, 0, half_w, half_h
    yield width - half_w, 0, half_w, half_h
    yield 0, height - half_h, half_w, half_h
    yield width - half_w, height - half_h, half_w, half_h
    yield width - 1, 0, 1, height
    yield 0, height - 1, width, 1
    for _ in range(inner):
        w, h = draw.randint(1, width), draw.randint(1, height)
        yield draw.randint(0, width - w), draw.randint(0, height - h), w, h


def cases(picture, draw, sizes, inner):
    """(crop, resized, window, flip_h, flip_v) for one picture."""
    for crop in boxes(*picture.size, draw, inner):
        resized = draw.choice(sizes)
        window = (0, 0, *resized)
        if draw.random() < 0.3:
            w, h = draw.randint(1, resized[0]), draw.randint(1, resized[1])
            window = (draw.randint(0, resized[0] - w), draw.randint(0, resized[1] - h), w, h)
        yield crop, resized, window, draw.random() < 0.5, draw.random() < 0.5


def resize(picture, size, version):
    """What the given major version of Pillow makes of Image.resize, with the one that is installed. Up to 12
    the horizontal pass came first, but for pictures above 100 times as tall as wide; from 13 on the order
    depends on both sizes. Resizing one axis at a time gives either order."""
    installed = int(PIL.__version__.split(".")[0])
    if (version <= 12) == (installed <= 12):
        return picture.resize(size, Image.Resampling.BILINEAR)
    (width, height), (to_width, to_height) = picture.size, size
    if version <= 12:
        vertical_first = height > 100 * width and to_height < height
    else:
        vertical_first = height - to_height > max(0, 2 * (width - to_width))
    between = (width, to_height) if vertical_first else (to_width, height)
    return picture.resize(between, Image.Resampling.BILINEAR).resize(size, Image.Resampling.BILINEAR)


def pillow(version, picture, crop, resized):
    x, y, w, h = crop
    return resize(picture.crop((x, y, x + w, y + h)), resized, version)


def pillow_draft(path, crop, resized):
    """Decoded by Pillow's draft mode, the crop of its smaller picture rounded outwards, and from it what the box in
    fractions of a pixel leaves. How much smaller: so that the crop still is at least as large as the result."""
    x, y, w, h = crop
    factor = max(factor for factor in (1, 2, 4, 8) if factor == 1 or (w >= factor * resized[0] and h >= factor * resized[1]))
    picture = Image.open(path)
    picture.draft("RGB", (picture.width // factor, picture.height // factor))
    picture = picture.convert("RGB")
    left, top = x // factor, y // factor
    outer = picture.crop((left, top, -(-(x + w) // factor), -(-(y + h) // factor)))
    inner = (x / factor - left, y / factor - top, (x + w) / factor - left, (y + h) / factor - top)
    return outer.resize(resized, Image.Resampling.BILINEAR, inner), factor


def opencv(picture, crop, resized):
    x, y, w, h = crop
    pixels = numpy.ascontiguousarray(numpy.asarray(picture)[y : y + h, x : x + w])
    return Image.fromarray(cv2.resize(pixels, resized, interpolation=cv2.INTER_LINEAR))


REFERENCES = {
    "pillow": lambda *geometry: pillow(13, *geometry),
    "pillow12": lambda *geometry: pillow(12, *geometry),
    "opencv": opencv,
}


def expected_pixels(mode, picture, crop, *rest):
    return finish(REFERENCES[mode](picture, crop, rest[0]), *rest[1:])


def finish(out, window, flip_h, flip_v):
    x, y, w, h = window
    out = out.crop((x, y, x + w, y + h))
    if flip_h:
        out = out.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if flip_v:
        out = out.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return out.tobytes()


def check_pixels(paths, sizes, inner, mode):
    draw = random.Random(1)
    checked = 0
    for start in range(0, len(paths), 20):
        requests, expected = [], []
        for path in paths[start : start + 20]:
            picture = Image.open(path).convert("RGB")
            for crop, resized, window, flip_h, flip_v in cases(picture, draw, sizes, inner):
                numbers = (mode, "exact", *picture.size, *crop, *resized, *window, int(flip_h), int(flip_v))
                requests.append(" ".join(map(str, numbers)) + f" {path}")
                expected.append(expected_pixels(mode, picture, crop, resized, window, flip_h, flip_v))
        got = io.BytesIO(run(["pixels"], requests))
        for request, pixels in zip(requests, expected):
            assert got.read(len(pixels)) == pixels, request
            checked += 1
        assert not got.read()
    print(f"{checked} crops of {len(paths)} pictures, {mode}")


# Fifty of each picture but for the mode that differs from its neighbour in the order of passes alone.
@pytest.mark.parametrize("mode, inner", [("pillow", 43), ("pillow12", 6), ("opencv", 43)])
def test_crops_of_originals_equal_their_reference(originals, mode, inner):
    check_pixels(originals, [(224, 224), (64, 64), (176, 130), (320, 333), (7, 5)], inner, mode)


def test_fast_crops_equal_pillows_draft_mode(originals, imagenette):
    assert int(PIL.__version__.split(".")[0]) >= 13, "the order of the passes is that of Pillow 13"
    draw = random.Random(4)
    factors = collections.Counter()
    for path in originals + imagenette[:100]:
        requests, expected = [], []
        picture = Image.open(path)
        for crop, resized, *rest in cases(picture, draw, [(224, 224), (64, 64), (96, 70), (33, 20), (7, 5)], 12):
            numbers = ("pillow", "fast", *picture.size, *crop, *resized, *rest[0], *map(int, rest[1:]))
            requests.append(" ".join(map(str, numbers)) + f" {path}")
            out, factor = pillow_draft(path, crop, resized)
            expected.append(finish(out, *rest))
            factors[factor] += 1
        got = io.BytesIO(run(["pixels"], requests))
        for request, pixels in zip(requests, expected):
            assert got.read(len(pixels)) == pixels, request
        assert not got.read()
    assert min(factors[factor] for factor in (1, 2, 4, 8)) > 200, factors
    print(dict(factors))


@pytest.mark.parametrize("mode", REFERENCES)
def test_crops_of_imagenette_equal_their_reference(imagenette, mode):
    check_pixels(imagenette, [(224, 224), (64, 64), (365, 365), (33, 100)], 3, mode)


def torchvision_validation(resize, crop):
    return torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(resize, torchvision.transforms.InterpolationMode.BILINEAR),
            torchvision.transforms.CenterCrop(crop),
        ]
    )


@pytest.mark.parametrize("resize, crop", [(256, 224), (73, 64), (365, 320), (232, 223)])
@pytest.mark.parametrize("pictures", ["originals", "imagenette"])
def test_validation_transform_equals_torchvision(pictures, resize, crop, request):
    mode = "pillow" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"
    ops = json.dumps({"ops": [{"op": "resize", "size": resize, "resize": mode}, {"op": "center_crop", "size": crop}]})
    reference = torchvision_validation(resize, crop)
    paths = request.getfixturevalue(pictures)
    requests, expected = [], []
    for path in paths:
        picture = Image.open(path).convert("RGB")
        requests.append(f"{picture.width} {picture.height} 0 0 0 {path}")
        expected.append(reference(picture).tobytes())
    got = io.BytesIO(run(["transform", ops], requests))
    for line, pixels in zip(requests, expected):
        assert got.read(len(pixels)) == pixels, line
    assert not got.read()
    print(f"{len(paths)} pictures, Resize({resize}) + CenterCrop({crop})")


@pytest.mark.parametrize(
    "scale, ratio",
    [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.35, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (0.3, 0.5)), ((0.5, 1.0), (1.0, 1.0))],
)
def test_random_crops_equal_torchvision_fed_with_the_same_draws(scale, ratio, monkeypatch):
    """torchvision's get_params in double precision, its random numbers replaced by ours."""
    draw = random.Random(2)
    samples = [
        (draw.randint(1, 700), draw.randint(1, 700), draw.getrandbits(60), draw.randint(0, 90), draw.getrandbits(40))
        for _ in range(1900)
    ]
    samples += [(w, h, 5, 6, 7) for w, h in [(1, 1), (1, 600), (600, 1), (2, 700), (700, 3), (65500, 20)]]
    crop = {"op": "random_resized_crop", "size": 224, "scale": scale, "ratio": ratio}
    ops = json.dumps({"ops": [crop, {"op": "horizontal_flip", "p": 0.3}]})
    got = run(["plan", ops], [" ".join(map(str, s)) for s in samples]).decode().splitlines()
    assert len(got) == len(samples)

    stream, placed = None, 0

    def uniform(tensor, low, high):
        return tensor.fill_(float(low) + (float(high) - float(low)) * stream.uniform())

    def randint(low, high, size):
        nonlocal placed
        placed += 1
        return torch.full(size, stream.below(high))

    monkeypatch.setattr(torch.Tensor, "uniform_", uniform)
    monkeypatch.setattr(torch, "randint", randint)
    torch.set_default_dtype(torch.float64)
    try:
        empty = 0
        for (width, height, seed, epoch, sample), line in zip(samples, got):
            stream = Stream(seed, epoch, sample, 0)
            picture = torch.empty(3, height, width)
            i, j, h, w = torchvision.transforms.RandomResizedCrop.get_params(picture, list(scale), list(ratio))
            flip = Stream(seed, epoch, sample, 1).uniform() < 0.3
            if w == 0 or h == 0:  # torchvision fails on these; ours keeps one pixel
                empty += 1
                continue
            assert line == f"{j} {i} {w} {h} {int(flip)} 0", (width, height, seed, epoch, sample)
    finally:
        torch.set_default_dtype(torch.float32)
    assert empty < len(samples) / 50
    print(f"{len(samples) - empty} crops, {len(samples) - placed // 2} of them after ten tries")


def test_random_crops_have_the_asked_distribution():
    """Area and ratio over 20,000 draws against the distribution that torchvision documents."""
    crop = {"op": "random_resized_crop", "size": 224, "scale": [0.08, 0.4], "ratio": [0.75, 4 / 3]}
    ops = json.dumps({"ops": [crop]})
    lines = run(["plan", ops], [f"500 500 1 {s % 5} {s}" for s in range(20000)]).decode().splitlines()
    x, y, w, h = numpy.array([list(map(int, line.split()[:4])) for line in lines], float).T
    area, log_ratio = w * h / 250000, numpy.log(w / h)
    # Five standard errors of the mean of a uniform distribution.
    error = 5 / math.sqrt(12 * len(lines))
    assert abs(area.mean() - 0.24) < error * 0.32
    assert abs(log_ratio.mean()) < error * 2 * math.log(4 / 3)
    assert abs((x / (500 - w)).mean() - 0.5) < error
    assert abs((y / (500 - h)).mean() - 0.5) < error


def test_normalize_equals_torch_bit_for_bit():
    draw = numpy.random.default_rng(3)
    pixels = numpy.concatenate([numpy.arange(256, dtype=numpy.uint8).repeat(3), draw.integers(0, 256, 3 * 10007, dtype=numpy.uint8)])
    picture = pixels.reshape(1, -1, 3)
    for mean, std in [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.0, 0.5, 0.3), (1.0, 0.5, 0.1))]:
        reference = torchvision.transforms.functional.normalize(torchvision.transforms.functional.to_tensor(picture), mean, std)
        expected = reference.permute(1, 2, 0).contiguous().numpy()
        got = numpy.frombuffer(run(["normalize", *map(str, mean), *map(str, std)], picture.tobytes()), numpy.float32)
        assert numpy.array_equal(got.view(numpy.uint32), expected.reshape(-1).view(numpy.uint32))
