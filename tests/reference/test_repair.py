"""Pictures as conversion stores them, against Pillow: what the decoder makes of them equals
`Image.open(file).convert("RGB")` byte for byte, also where no JPEG holds that exactly (PNG, CMYK); and pictures that were
made smaller equal what Pillow resizes and saves. Needs the program picture_judge."""

import io
import itertools
import pathlib
import random
import struct
import subprocess
import warnings
import zlib

import numpy
import pytest
from PIL import Image

# Bits of `repairs` in storage/record_view.h.
CMYK, OTHER_FORMAT, TRAILING_BYTES = 4, 8, 16
# Values of Subsampling there.
UNKNOWN, GRAY = 0, 1

GRAY_KIND, RGB_KIND, PALETTE_KIND, GRAY_ALPHA_KIND, RGB_ALPHA_KIND = 0, 2, 3, 4, 6
CHANNELS = {GRAY_KIND: 1, RGB_KIND: 3, PALETTE_KIND: 1, GRAY_ALPHA_KIND: 2, RGB_ALPHA_KIND: 4}
DEPTHS = {
    GRAY_KIND: (1, 2, 4, 8, 16),
    RGB_KIND: (8, 16),
    PALETTE_KIND: (1, 2, 4, 8),
    GRAY_ALPHA_KIND: (8, 16),
    RGB_ALPHA_KIND: (8, 16),
}
# (first column, first row, columns between, rows between) of Adam7's passes.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_row(samples, depth):
    """Bytes of one row of samples."""
    if depth == 16:
        return b"".join(struct.pack(">H", s) for s in samples)
    if depth == 8:
        return bytes(samples)
    bits = "".join(format(s, f"0{depth}b") for s in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def filter_rows(rows, pixel_bytes, draw):
    """Rows with a random filter each (chapter 9 of the PNG specification)."""
    out = b""
    above = bytes(len(rows[0])) if rows else b""
    for row in rows:
        kind = draw.randrange(5)
        left = bytes(pixel_bytes) + row[:-pixel_bytes] if len(row) > pixel_bytes else bytes(len(row))
        corner = bytes(pixel_bytes) + above[:-pixel_bytes] if len(row) > pixel_bytes else bytes(len(row))
        guesses = []
        for a, b, c in zip(left, above, corner):
            pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            paeth = a if pa <= pb and pa <= pc else b if pb <= pc else c
            guesses.append((0, a, b, (a + b) // 2, paeth)[kind])
        out += bytes([kind]) + bytes((x - g) & 255 for x, g in zip(row, guesses))
        above = row
    return out


def make_png(width, height, kind, depth, interlaced, extra, seed, palette_entries=None):
    """A PNG of random samples. `extra` are chunks before the data."""
    draw = random.Random(seed)
    channels = CHANNELS[kind]
    samples = [[[draw.randrange(1 << depth) for _ in range(channels)] for _ in range(width)] for _ in range(height)]
    if kind == GRAY_KIND and depth == 16:  # on both sides of what Pillow cuts off
        for row in samples:
            for pixel in row:
                pixel[0] = draw.choice((pixel[0], draw.randrange(300)))
    pixel_bytes = max(1, channels * depth // 8)
    data = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        rows = [pack_row([s for pixel in samples[y][x0::dx] for s in pixel], depth) for y in range(y0, height, dy)]
        if x0 < width:
            data += filter_rows(rows, pixel_bytes, draw)
    palette = b""
    if kind == PALETTE_KIND:
        entries = palette_entries or 1 << depth
        palette = chunk(b"PLTE", bytes(draw.randrange(256) for _ in range(3 * entries)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced)))
    before = b"".join(c for c in extra if c[4:8] != b"tRNS")
    after = b"".join(c for c in extra if c[4:8] == b"tRNS")
    packed = zlib.compress(data)
    split = draw.randrange(len(packed))  # several IDAT chunks
    data = chunk(b"IDAT", packed[:split]) + chunk(b"IDAT", packed[split:])
    return b"\x89PNG\r\n\x1a\n" + header + before + palette + after + data + chunk(b"IEND", b"")


def transparency(kind, depth):
    """tRNS chunks that a kind may have, None among them."""
    yield "opaque", None
    if kind == GRAY_KIND:
        yield "trns", chunk(b"tRNS", struct.pack(">H", 1))
    if kind == RGB_KIND:
        yield "trns", chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    if kind == PALETTE_KIND:
        yield "trns_one", chunk(b"tRNS", b"\xff\x00")
        yield "trns_many", chunk(b"tRNS", b"\x80\x00" if depth == 1 else b"\x80\x00\x40")


def png_cases():
    seeds = itertools.count(1)
    for kind, depths in DEPTHS.items():
        for depth, interlaced in itertools.product(depths, (False, True)):
            for trns, extra in transparency(kind, depth):
                for width, height in ((37, 21), (1, 1), (3, 9)):
                    name = f"kind{kind}-{depth}bit-{'adam7' if interlaced else 'plain'}-{trns}-{width}x{height}"
                    chunks = [extra] if extra else []
                    yield name, make_png(width, height, kind, depth, interlaced, chunks, next(seeds))
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))
    chroma = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    significant = chunk(b"sBIT", b"\x05\x06\x05")
    background = chunk(b"bKGD", struct.pack(">HHH", 200, 100, 50))
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile at all"))
    for name, extra in {"gamma": [gamma], "chroma": [gamma, chroma], "sbit": [significant], "background": [background],
                        "profile": [profile], "time": [chunk(b"tIME", bytes(7))]}.items():
        yield f"rgb-{name}", make_png(31, 17, RGB_KIND, 8, False, extra, next(seeds))
    yield "palette-short", make_png(31, 17, PALETTE_KIND, 8, False, [], next(seeds), palette_entries=90)
    yield "palette-short-adam7", make_png(31, 17, PALETTE_KIND, 4, True, [], next(seeds), palette_entries=5)


def photo(width, height, channels, seed):
    """Smooth colours with edges, as uint8."""
    draw = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    planes = [128 + 90 * numpy.sin(x / draw.uniform(3, 20) + draw.uniform(0, 6)) * numpy.cos(y / draw.uniform(3, 20))
              for _ in range(channels)]
    planes = numpy.stack(planes, axis=2)
    planes[height // 3 : height // 2, width // 4 :] = draw.uniform(0, 255, channels)
    return numpy.clip(planes + draw.normal(0, 6, planes.shape), 0, 255).astype(numpy.uint8)


def save(array, mode, **options):
    out = io.BytesIO()
    Image.fromarray(array, mode).save(out, **options)
    return out.getvalue()


def without_adobe(jpeg):
    """The JPEG with its Adobe marker taken out."""
    at = jpeg.index(b"\xff\xee")
    length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    assert jpeg[at + 4 : at + 9] == b"Adobe"
    return jpeg[:at] + jpeg[at + 2 + length :]


def as_ycck(jpeg):
    """A CMYK JPEG whose Adobe marker says YCCK: other colours, but a picture."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[: at + 15] + b"\x02" + jpeg[at + 16 :]


def cmyk_cases():
    for quality, (width, height) in itertools.product((30, 75, 95), ((64, 48), (33, 19), (1, 1))):
        for progressive in (False, True):
            jpeg = save(photo(width, height, 4, quality), "CMYK", format="JPEG", quality=quality,
                        progressive=progressive)
            name = f"q{quality}-{width}x{height}-{'progressive' if progressive else 'baseline'}"
            yield f"cmyk-{name}", jpeg
            yield f"ycck-{name}", as_ycck(jpeg)
            yield f"bare-{name}", without_adobe(jpeg)
    for subsampling in (0, 1, 2):
        jpeg = save(photo(61, 47, 4, 9), "CMYK", format="JPEG", subsampling=subsampling)
        yield f"ycck-subsampling{subsampling}", as_ycck(jpeg)
        yield f"cmyk-subsampling{subsampling}", jpeg


def gray_cases():
    for width, height in ((64, 48), (33, 19), (1, 1)):
        gray = photo(width, height, 1, 3)[:, :, 0]
        yield f"gray-jpeg-{width}x{height}", save(gray, "L", format="JPEG")
        yield f"gray-jpeg-progressive-{width}x{height}", save(gray, "L", format="JPEG", progressive=True)


def pillow(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.fixture(scope="module")
def judge(build):
    return build / "tests/pipeline/picture_judge"


def run(judge, cases, folder, resize_short=0, max_side=0, quality=90):
    """(facts, payload, RGB bytes) of each case, in its order."""
    lines = []
    for i, (_, data) in enumerate(cases):
        (folder / f"{i}").write_bytes(data)
        lines.append(f"{folder}/{i} {folder}/{i}")
    options = map(str, (resize_short, max_side, quality))
    requests = "".join(line + "\n" for line in lines)
    done = subprocess.run([judge, "convert", *options], input=requests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(cases)
    for i, answer in enumerate(answers):
        assert not answer.startswith("fault"), (cases[i][0], answer)
        yield list(map(int, answer.split())), (folder / f"{i}.payload").read_bytes(), (folder / f"{i}.rgb").read_bytes()


def check(judge, cases, folder, expected_repairs):
    for (name, data), (facts, payload, rgb) in zip(cases, run(judge, cases, folder)):
        picture = pillow(data)
        width, height, subsampling, repairs = facts
        assert (width, height) == picture.size, name
        assert rgb == picture.tobytes(), name
        assert repairs == expected_repairs, name
        # The payload is a picture for Pillow, too, and the same one.
        stored = Image.open(io.BytesIO(payload))
        assert stored.convert("RGB").tobytes() == rgb, name
        if expected_repairs:
            array = numpy.frombuffer(rgb, numpy.uint8).reshape(-1, 3)
            gray = bool((array == array[:, :1]).all())
            assert stored.mode == ("L" if gray else "RGB"), name
            assert subsampling == (GRAY if gray else UNKNOWN), name


def test_every_kind_of_png(judge, tmp_path):
    cases = list(png_cases())
    assert len(cases) >= 60
    check(judge, cases, tmp_path, OTHER_FORMAT)


def test_png_as_pillow_writes_it(judge, tmp_path):
    rgb = photo(200, 150, 3, 1)
    cases = [("rgb", save(rgb, "RGB", format="PNG")), ("optimised", save(rgb, "RGB", format="PNG", optimize=True)),
             ("alpha", save(photo(200, 150, 4, 2), "RGBA", format="PNG"))]
    palette = io.BytesIO()
    Image.fromarray(rgb).quantize(17).save(palette, format="PNG")
    cases.append(("quantised", palette.getvalue()))
    check(judge, cases, tmp_path, OTHER_FORMAT)


def test_cmyk_and_ycck_jpegs(judge, tmp_path):
    check(judge, list(cmyk_cases()), tmp_path, CMYK)


def test_cmyk_and_ycck_as_libjpeg_writes_them(judge, tmp_path):
    subprocess.run([judge, "make", tmp_path], check=True)
    jpegs = [path.read_bytes() for path in sorted(tmp_path.glob("*.jpg"))]
    cases = [(f"libjpeg-{i}", jpeg) for i, jpeg in enumerate(jpegs)]
    cases += [(f"libjpeg-bare-{i}", without_adobe(jpeg)) for i, jpeg in enumerate(jpegs)]
    assert len(cases) == 16
    check(judge, cases, tmp_path, CMYK)


def test_gray_jpegs_stay_jpegs(judge, tmp_path):
    check(judge, list(gray_cases()), tmp_path, 0)


def test_bytes_behind_the_end_are_told(judge, tmp_path):
    png = make_png(31, 17, RGB_KIND, 8, False, [], 1) + b"more"
    check(judge, [("png", png)], tmp_path, OTHER_FORMAT | TRAILING_BYTES)
    jpeg = save(photo(20, 20, 4, 1), "CMYK", format="JPEG") + b"more"
    check(judge, [("cmyk", jpeg)], tmp_path, CMYK | TRAILING_BYTES)


def test_same_picture_gives_same_payload(judge, tmp_path):
    png = make_png(31, 17, RGB_ALPHA_KIND, 16, True, [], 1)
    first, second = (payload for _, payload, _ in run(judge, [("a", png), ("b", png)], tmp_path))
    assert first == second


def smaller(size, resize_short, max_side):
    """The size that torchvision's Resize(resize_short) or FFCV's max_resolution gives."""
    width, height = size
    short, long = min(size), max(size)
    if resize_short and short > resize_short:
        new = resize_short, resize_short * long // short
    elif max_side and long > max_side:
        new = max(1, max_side * short // long), max_side
    else:
        return size
    return new if width <= height else new[::-1]


def check_smaller(judge, cases, folder, **options):
    quality = options["quality"]
    sizes = {"resize_short": 0, "max_side": 0} | {k: v for k, v in options.items() if k != "quality"}
    changed = 0
    for (name, data), (facts, payload, rgb) in zip(cases, run(judge, cases, folder, **options)):
        picture = Image.open(io.BytesIO(data))
        is_gray = picture.mode == "L"
        picture = picture.convert("RGB")
        size = smaller(picture.size, **sizes)
        assert tuple(facts[:2]) == size, name
        expected = picture
        if size != picture.size:
            changed += 1
            expected = picture.resize(size, Image.Resampling.BILINEAR)
            if is_gray:
                expected = expected.getchannel(0)
            saved = io.BytesIO()
            expected.save(saved, format="JPEG", quality=quality, **({} if is_gray else {"subsampling": 2}))
            expected = Image.open(saved).convert("RGB")
        assert rgb == expected.tobytes(), name
    return changed


def test_smaller_pictures_are_what_pillow_resizes_and_saves(judge, tmp_path):
    cases = [(f"{w}x{h}-{s}", save(photo(w, h, 3, w + h), "RGB", format="JPEG", subsampling=s))
             for w, h in ((200, 150), (150, 200), (97, 61), (64, 64), (300, 20), (40, 30)) for s in (0, 1, 2)]
    cases += [(f"gray-{w}x{h}", save(photo(w, h, 1, w)[:, :, 0], "L", format="JPEG")) for w, h in ((99, 70), (40, 30))]
    for options in ({"resize_short": 40}, {"resize_short": 33}, {"max_side": 50}, {"max_side": 96}):
        for quality in (60, 90, 100):
            assert check_smaller(judge, cases, tmp_path, quality=quality, **options) > 8


def test_originals_packed_and_made_smaller(judge, tmp_path, originals):
    paths = sorted(originals.rglob("*.JPEG"))
    cases = [(path.name, path.read_bytes()) for path in paths]
    assert len(cases) == 200
    for (name, data), (facts, _, rgb) in zip(cases, run(judge, cases, tmp_path)):
        assert rgb == pillow(data).tobytes(), name
    assert check_smaller(judge, cases, tmp_path, resize_short=256, quality=90) > 150
    assert check_smaller(judge, cases, tmp_path, max_side=400, quality=90) > 150
