"""Operations on pixels against their references: Pillow, torchvision and OpenCV on real pictures, byte for byte where the
reference counts in whole numbers, and where it chooses at random, fed with the same draws. Needs the real pictures
(MILLRACE_TEST_DATA) and the program preprocess_judge."""

import collections
import json
import math

import cv2
import numpy
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torchvision.transforms import autoaugment as tv_auto
from torchvision.transforms import functional
from torchvision.transforms import transforms as tv

from pixel_judge import DATA, Stream, run, unpack


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Real pictures of 224 x 224 pixels, and made ones on which operations go wrong most easily."""
    real = [
        numpy.asarray(Image.open(path).convert("RGB"))
        for path in unpack(DATA / "imagenette-224.tar", 40, tmp_path_factory.mktemp("imagenette"))
    ]
    assert all(picture.shape == (224, 224, 3) for picture in real)
    draw = numpy.random.default_rng(7)
    levels = numpy.arange(224, dtype=numpy.uint8)
    ramp = numpy.stack(numpy.broadcast_arrays(levels[:, None], levels[None, :] // 3 + 90, 255 - levels[:, None]), -1)
    flat = numpy.full((224, 224, 3), (7, 200, 200), numpy.uint8)
    two = numpy.where(draw.random((224, 224, 1)) < 0.001, numpy.uint8(3), flat)
    noise = draw.integers(0, 256, (224, 224, 3), dtype=numpy.uint8)
    return [*real, ramp, flat, two, noise, numpy.zeros_like(flat), numpy.full_like(flat, 255)]


def augment(ops, arrays, seed=3, epoch=5):
    """What the operations make of pictures of one size, the random key's sample id being their number in the list."""
    height, width = arrays[0].shape[:2]
    text = json.dumps({"ops": [{"op": "center_crop", "width": width, "height": height}, *ops]})
    request = b"".join(b"0 %d %d %d\n" % (seed, epoch, i) + array.tobytes() for i, array in enumerate(arrays))
    got = run(["augment", text], request)
    return numpy.frombuffer(got, numpy.uint8).reshape(len(arrays), height, width, 3)


def streams(count, op=1, seed=3, epoch=5):
    """The random numbers that augment() gives the operation at this place of the list, for each picture."""
    return (Stream(seed, epoch, sample, op) for sample in range(count))


def same(got, expected, what):
    """Byte for byte; says where not."""
    expected = numpy.asarray(expected)
    assert got.shape == expected.shape, what
    differing = numpy.argwhere((got != expected).any(-1))
    assert not len(differing), (
        f"{what}: {len(differing)} pixels differ, first at {differing[0]}: "
        f"{got[tuple(differing[0])]}, expected {expected[tuple(differing[0])]}"
    )


def check(ops, arrays, reference):
    """`reference` is what a Pillow picture should become."""
    for index, (array, got) in enumerate(zip(arrays, augment(ops, arrays))):
        same(got, reference(Image.fromarray(array)), f"{ops}, picture {index}")


FACTORS = (0.0, 0.1, 0.37, 0.9, 1.0, 1.3, 1.99, 5.0)
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("op", ENHANCERS)
def test_enhancing_equals_pillow(pictures, op, factor):
    check([{"op": op, "factor": [factor, factor]}], pictures, lambda picture: ENHANCERS[op](picture).enhance(factor))


@pytest.mark.parametrize("factor", (-0.5, -0.21, -0.004, 0.0, 0.003, 0.1, 0.37, 0.5))
def test_hue_equals_torchvision_on_pillow_pictures(pictures, factor):
    check([{"op": "hue", "factor": [factor, factor]}], pictures, lambda picture: functional.adjust_hue(picture, factor))


def test_hue_of_every_fifth_colour_equals_torchvision_on_pillow_pictures():
    colours = numpy.stack(numpy.meshgrid(*[numpy.arange(0, 256, 5, dtype=numpy.uint8)] * 3, indexing="ij"), -1)
    picture = colours.reshape(52 * 4, -1, 3)
    for factor in (0.0, 0.25, -0.13):
        check([{"op": "hue", "factor": [factor, factor]}], [picture], lambda p: functional.adjust_hue(p, factor))


TONES = {
    "invert": ({}, ImageOps.invert),
    "equalize": ({}, ImageOps.equalize),
    "autocontrast": ({}, ImageOps.autocontrast),
    "grayscale": ({}, lambda picture: picture.convert("L").convert("RGB")),
    **{f"solarize {t}": ({"threshold": t}, lambda picture, t=t: ImageOps.solarize(picture, t)) for t in (0, 85.5, 128, 256)},
    **{f"posterize {b}": ({"bits": b}, lambda picture, b=b: ImageOps.posterize(picture, b)) for b in range(1, 9)},
}


@pytest.mark.parametrize("name", TONES)
def test_tones_equal_pillow(pictures, name):
    settings, reference = TONES[name]
    check([{"op": name.split()[0], "p": 1.0, **settings}], pictures, reference)


@pytest.mark.parametrize(
    "op, reference",
    [
        ({"op": "sharpness", "factor": [3.0, 3.0]}, lambda picture: ImageEnhance.Sharpness(picture).enhance(3.0)),
        ({"op": "equalize", "p": 1.0}, ImageOps.equalize),
        ({"op": "saturation", "factor": [0.3, 0.3]}, lambda picture: ImageEnhance.Color(picture).enhance(0.3)),
    ],
)
def test_sizes_that_no_vector_divides_equal_pillow(op, reference):
    draw = numpy.random.default_rng(8)
    for width, height in [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (5, 3), (33, 17), (301, 5)]:
        array = draw.integers(0, 256, (height, width, 3), dtype=numpy.uint8)
        if op["op"] == "sharpness" and min(width, height) < 3:
            check([op], [array], lambda picture: picture)  # nothing but edge, which Pillow leaves or fails on
        else:
            check([op], [array], reference)


def shuffled(stream, count):
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = stream.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


@pytest.mark.parametrize(
    "settings",
    [
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        {"brightness": 0.8, "contrast": [0.2, 3.0], "saturation": 1.5, "hue": [-0.5, 0.5]},
        {"saturation": 0.3},
        {"contrast": [0.5, 0.5], "hue": 0.02},
    ],
)
def test_color_jitter_equals_torchvision_fed_with_the_same_draws(pictures, settings, monkeypatch):
    stream = None
    monkeypatch.setattr(torch, "randperm", lambda count: torch.tensor(shuffled(stream, count)))
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda self, low, high: self.fill_(low + (high - low) * stream.uniform())
    )
    got = augment([{"op": "color_jitter", **settings}], pictures)
    jitter = tv.ColorJitter(**{key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})
    torch.set_default_dtype(torch.float64)
    try:
        for index, (array, stream) in enumerate(zip(pictures, streams(len(pictures)))):
            same(got[index], jitter(Image.fromarray(array)), f"{settings}, picture {index}")
    finally:
        torch.set_default_dtype(torch.float32)


def test_each_operation_of_a_list_has_draws_of_its_own(pictures):
    """Two equal operations that invert half of the pictures: independent of each other."""
    invert = {"op": "invert", "p": 0.5}
    black = [numpy.zeros((1, 1, 3), numpy.uint8)] * 2000
    once = augment([invert], black)[:, 0, 0, 0] == 255
    twice = augment([invert, invert], black)[:, 0, 0, 0] == 255
    second = [Stream(3, 5, sample, 2).uniform() < 0.5 for sample in range(len(black))]
    assert numpy.array_equal(twice, once ^ second)
    assert 900 < once.sum() < 1100 and 900 < numpy.sum(second) < 1100


@pytest.mark.parametrize("interpolation", ("nearest", "bilinear"))
@pytest.mark.parametrize("op, amount", [
    *[("shear_x", s) for s in (-0.3, -0.11, 0.0, 0.02, 0.3, 0.99)],
    *[("shear_y", s) for s in (-0.3, -0.11, 0.0, 0.02, 0.3, 0.99)],
    *[("rotate", d) for d in (-135.0, -90.0, -30.0, -4.0, 0.0, 0.3, 17.0, 45.0, 90.0, 135.0, 180.0, 270.0)],
    *[("translate_x", t) for t in (-0.45, 0.0, 0.13, 0.99)],
    *[("translate_y", t) for t in (-0.45, 0.0, 0.13, 0.99)],
])  # fmt: skip
def test_moves_equal_torchvision_on_pillow_pictures(pictures, op, amount, interpolation):
    setting = {"shear": "shear", "rotate": "degrees", "translate": "translate"}[op.split("_")[0]]
    fill = [9, 80, 255] if amount < 0 else [0, 0, 0]
    ops = [{"op": op, setting: [amount, amount], "interpolation": interpolation, "fill": fill}]
    mode = functional.InterpolationMode(interpolation)

    def moved(picture, angle=0.0, translate=(0, 0), shear=(0.0, 0.0), center=None):
        return functional.affine(picture, angle, list(translate), 1.0, list(shear), mode, fill, center)

    def reference(picture):
        slope = math.degrees(math.atan(amount))
        return {
            "shear_x": lambda: moved(picture, shear=(slope, 0.0), center=[0, 0]),
            "shear_y": lambda: moved(picture, shear=(0.0, slope), center=[0, 0]),
            "translate_x": lambda: moved(picture, translate=(int(amount * picture.width), 0)),
            "translate_y": lambda: moved(picture, translate=(0, int(amount * picture.height))),
            "rotate": lambda: functional.rotate(picture, amount, mode, fill=fill),
        }[op]()

    check(ops, pictures[::8], reference)
    check(ops, [picture[:97, :150].copy() for picture in pictures[::15]], reference)


@pytest.mark.parametrize("sigma", (0.0, 0.1, 0.3, 0.7, 1.0, 1.5, 2.0, 3.3, 8.0, 40.0, 99.0))
def test_gaussian_blur_equals_pillow(pictures, sigma):
    ops = [{"op": "gaussian_blur", "sigma": [sigma, sigma]}]
    check(ops, pictures[::4], lambda picture: picture.filter(ImageFilter.GaussianBlur(sigma)))
    check(ops, [pictures[0][:9, :13].copy()], lambda picture: picture.filter(ImageFilter.GaussianBlur(sigma)))


def shift_hsv(picture, hue, sat, val):
    """albumentations' shift_hsv of 2019 to 2023 for uint8 pictures: cv2.LUT between two conversions."""
    levels = numpy.arange(256, dtype=numpy.int16)
    h, s, v = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    h = cv2.LUT(h, numpy.mod(levels + hue, 180).astype(numpy.uint8)) if hue != 0 else h
    s = cv2.LUT(s, numpy.clip(levels + sat, 0, 255).astype(numpy.uint8)) if sat != 0 else s
    v = cv2.LUT(v, numpy.clip(levels + val, 0, 255).astype(numpy.uint8)) if val != 0 else v
    return cv2.cvtColor(cv2.merge((h, s, v)), cv2.COLOR_HSV2RGB)


def test_hue_saturation_value_equals_albumentations_fed_with_the_same_draws(pictures):
    """The pictures' width is a multiple of OpenCV's vectors: see the next test."""
    got = augment([{"op": "hue_saturation_value", "p": 0.8}], pictures)
    changed = 0
    for index, (picture, stream) in enumerate(zip(pictures, streams(len(pictures)))):
        if stream.uniform() < 0.8:
            picture = shift_hsv(picture, *(limit * (2 * stream.uniform() - 1) for limit in (20, 30, 20)))
            changed += 1
        same(got[index], picture, f"picture {index}")
    assert changed > 30


@pytest.mark.parametrize("shifts", [(0, 0, 0), (-20, 30, 20), (3.7, 0, 0), (0, -4.2, 0), (0, 0, 0.4), (90, 255, -255)])
def test_hue_saturation_value_of_many_colours_equals_opencv(shifts):
    """Of the last pixels of a row that fill no vector, OpenCV rounds levels that it cuts elsewhere."""
    colours = numpy.stack(numpy.meshgrid(*[numpy.arange(0, 256, 4, dtype=numpy.uint8)] * 3, indexing="ij"), -1)
    picture = colours.reshape(512, 512, 3)
    limits = dict(zip(("hue_shift_limit", "sat_shift_limit", "val_shift_limit"), ([s, s] for s in shifts)))
    ops = [{"op": "hue_saturation_value", "p": 1.0, **limits}]
    expected = shift_hsv(picture, *shifts) if any(shifts) else picture
    same(augment(ops, [picture])[0], expected, f"{shifts}")
    narrow = picture[:, :13].copy()
    expected = shift_hsv(narrow, *shifts) if any(shifts) else narrow
    assert numpy.abs(augment(ops, [narrow])[0].astype(int) - expected).max() <= 1


def test_hue_saturation_value_equals_opencv_on_every_level():
    """All hues, saturations and values: what is tested is the way back from HSV, of colours that are one on the way."""
    levels = numpy.arange(256, dtype=numpy.uint8)
    for hue in range(0, 180, 7):
        hsv = numpy.stack(numpy.broadcast_arrays(numpy.uint8(hue), levels[:, None], levels[None, :]), -1)
        rgb = cv2.cvtColor(numpy.ascontiguousarray(hsv), cv2.COLOR_HSV2RGB)
        ops = [{"op": "hue_saturation_value", "p": 1.0, "hue_shift_limit": [1, 1], "sat_shift_limit": 0, "val_shift_limit": 0}]
        same(augment(ops, [rgb])[0], shift_hsv(rgb, 1, 0, 0), f"hue {hue}")


def test_lighting_is_the_papers_shift_rounded(pictures):
    eigenvalues = numpy.array([0.2175, 0.0188, 0.0045])
    eigenvectors = numpy.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    got = augment([{"op": "lighting", "std": 0.5}], pictures)
    for index, (picture, stream) in enumerate(zip(pictures, streams(len(pictures)))):
        normal = []
        for _ in range(3):
            length = math.sqrt(-2 * math.log(1 - stream.uniform()))
            normal.append(length * math.cos(2 * math.pi * stream.uniform()))
        shift = eigenvectors @ (0.5 * numpy.array(normal) * eigenvalues)
        same(got[index], numpy.clip(numpy.rint(picture + 255 * shift), 0, 255).astype(numpy.uint8), f"picture {index}")


def test_lighting_draws_from_the_normal_distribution():
    """Of grey pictures: means, variances and covariances of the shift, and its tails, over 4000 draws."""
    grey = [numpy.full((1, 1, 3), 128, numpy.uint8)] * 4000
    shifts = augment([{"op": "lighting", "std": 1.0}], grey)[:, 0, 0].astype(float) - 128
    eigenvectors = numpy.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    scale = 255 * numpy.array([0.2175, 0.0188, 0.0045])
    expected = eigenvectors @ numpy.diag(scale**2) @ eigenvectors.T
    assert numpy.abs(shifts.mean(0)).max() < 5 * math.sqrt(expected.max() / len(grey))
    assert numpy.abs(numpy.cov(shifts.T) / expected - 1).max() < 0.15
    beyond = numpy.abs(shifts[:, 0]) > 2 * math.sqrt(expected[0, 0])
    assert 0.03 < beyond.mean() < 0.06  # 4.55 % of a normal distribution


def test_coarse_dropout_makes_the_holes_of_albumentations():
    ops = [{"op": "coarse_dropout", "max_height": 32, "max_width": 32}]
    white = [numpy.full((224, 224, 3), 255, numpy.uint8)] * 400
    dropped = 0
    for got, stream in zip(augment(ops, white), streams(len(white))):
        expected = white[0].copy()
        if stream.uniform() < 0.5:
            dropped += 1
            stream.below(1)
            for _ in range(8):
                stream.below(1), stream.below(1)
                y, x = stream.below(193), stream.below(193)
                expected[y : y + 32, x : x + 32] = 0
        same(got, expected, "holes")
    assert 150 < dropped < 250


@pytest.mark.parametrize("settings", [{}, {"p": 1.0, "scale": [0.3, 1.0], "ratio": [0.05, 20.0], "value": [1, 2, 3]}])
def test_random_erasing_equals_torchvision_fed_with_the_same_draws(settings, monkeypatch):
    stream = None
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda self, low, high: self.fill_(float(low) + float(high - low) * stream.uniform())
    )
    monkeypatch.setattr(torch, "randint", lambda low, high, size: torch.full(size, stream.below(high)))
    monkeypatch.setattr(torch, "rand", lambda *size: torch.full(size, stream.uniform()))
    white = numpy.full((60, 80, 3), 255, numpy.uint8)
    got = augment([{"op": "random_erasing", **settings}], [white] * 300)
    value = settings.get("value", [124, 116, 104])
    erase = tv.RandomErasing(settings.get("p", 0.5), settings.get("scale", (0.02, 0.33)), settings.get("ratio", (0.3, 3.3)), value)
    torch.set_default_dtype(torch.float64)
    kinds = collections.Counter()
    try:
        for index, stream in enumerate(streams(300)):
            expected = erase(torch.from_numpy(white).permute(2, 0, 1).double()).permute(1, 2, 0).numpy().astype(numpy.uint8)
            same(got[index], expected, f"picture {index}")
            kinds[bool((expected != 255).any())] += 1
    finally:
        torch.set_default_dtype(torch.float32)
    assert kinds[True] > 100 and kinds[False] > 0, kinds


def test_default_value_of_random_erasing_normalises_to_nearly_0():
    erased = torch.tensor([124, 116, 104]) / 255
    normal = (erased - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert normal.abs().max() < 0.0088


@pytest.fixture
def fed(monkeypatch):
    """torchvision with our draws: whatever `fed.stream` is at the time."""

    class Fed:
        stream = None

    def randint(low, high=None, size=None, dtype=None):
        if high is None or isinstance(high, tuple):  # randint(high, size)
            low, high, size = 0, low, high if size is None else size
        drawn = [low + Fed.stream.below(high - low) for _ in range(math.prod(size))]
        return torch.tensor(drawn).view(size)

    monkeypatch.setattr(torch, "randint", randint)
    monkeypatch.setattr(
        torch, "rand", lambda size: torch.tensor([Fed.stream.uniform() for _ in range(math.prod(size))], dtype=torch.float64)
    )
    return Fed


POLICIES = {
    "rand_augment": tv_auto.RandAugment,
    "trivial_augment_wide": tv_auto.TrivialAugmentWide,
    "auto_augment": tv_auto.AutoAugment,
}


@pytest.mark.parametrize("name, settings", [
    ("rand_augment", {}),
    ("rand_augment", {"num_ops": 3, "magnitude": 5, "num_magnitude_bins": 11, "interpolation": "bilinear", "fill": [1, 2, 3]}),
    ("rand_augment", {"num_ops": 4, "magnitude": 30}),
    ("trivial_augment_wide", {}),
    ("trivial_augment_wide", {"interpolation": "bilinear"}),
    ("trivial_augment_wide", {"num_magnitude_bins": 7}),
    ("auto_augment", {}),
    ("auto_augment", {"policy": "cifar10"}),
    ("auto_augment", {"policy": "svhn", "interpolation": "bilinear"}),
])  # fmt: skip
def test_policies_equal_torchvision_fed_with_the_same_draws(pictures, name, settings, fed):
    """Over enough draws for every operation of a policy, at many strengths and both signs."""
    arrays = pictures * 6
    got = augment([{"op": name, **settings}], arrays)
    given = dict(settings)
    if "interpolation" in given:
        given["interpolation"] = functional.InterpolationMode(given["interpolation"])
    if "policy" in given:
        given["policy"] = tv_auto.AutoAugmentPolicy(given["policy"])
    reference = POLICIES[name](**given)
    for index, (array, fed.stream) in enumerate(zip(arrays, streams(len(arrays)))):
        same(got[index], reference(Image.fromarray(array)), f"{name} {settings}, picture {index}")


@pytest.mark.parametrize("settings", [{}, {"severity": 10, "mixture_width": 2, "chain_depth": 4, "all_ops": False}])
def test_aug_mix_equals_a_mixture_of_torchvisions_operations_on_pillow_pictures(pictures, settings, fed):
    """torchvision's own AugMix turns pictures into tensors first, whose operations have other pixels: here are its draws
    and its sum with those of Pillow pictures."""
    reference = tv_auto.AugMix(**settings)
    assert reference.alpha == 1.0

    def shares(count):
        drawn = [-math.log(1 - fed.stream.uniform()) for _ in range(count)]
        return [share / sum(drawn) for share in drawn]

    def mixed(picture):
        space = reference._augmentation_space(10, (picture.height, picture.width))
        own, weights = shares(2), shares(reference.mixture_width)
        mix = numpy.float32(own[0]) * numpy.asarray(picture, numpy.float32)
        for weight in weights:
            chain = picture
            depth = reference.chain_depth if reference.chain_depth > 0 else 1 + fed.stream.below(3)
            for _ in range(depth):
                op = list(space)[fed.stream.below(len(space))]
                magnitudes, signed = space[op]
                magnitude = float(magnitudes[fed.stream.below(reference.severity)]) if magnitudes.ndim > 0 else 0.0
                if signed and fed.stream.below(2):
                    magnitude = -magnitude
                if op == "Posterize" and magnitude == 0:  # refused by Pillow, black as a tensor
                    chain = Image.new("RGB", picture.size)
                else:
                    chain = tv_auto._apply_op(chain, op, magnitude, reference.interpolation, None)
            mix += numpy.float32(weight * own[1]) * numpy.asarray(chain, numpy.float32)
        return mix.astype(numpy.uint8)

    got = augment([{"op": "aug_mix", **settings}], pictures)
    for index, (array, fed.stream) in enumerate(zip(pictures, streams(len(pictures)))):
        same(got[index], mixed(Image.fromarray(array)), f"{settings}, picture {index}")


def test_three_augment_is_one_of_three_of_pillows(pictures):
    arrays = pictures * 3
    kinds = collections.Counter()
    for index, (got, array, stream) in enumerate(zip(augment([{"op": "three_augment"}], arrays), arrays, streams(len(arrays)))):
        picture = Image.fromarray(array)
        kind = stream.below(3)
        kinds[kind] += 1
        if kind == 0:
            expected = picture.convert("L").convert("RGB")
        elif kind == 1:
            expected = ImageOps.solarize(picture, 128)
        else:
            expected = picture.filter(ImageFilter.GaussianBlur(0.1 + 1.9 * stream.uniform()))
        same(got, expected, f"picture {index}")
    assert min(kinds[kind] for kind in range(3)) > 25, kinds
