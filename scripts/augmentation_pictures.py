#!/usr/bin/env python3
"""Writes docs/augmentations.md and its pictures: each operation on two made-up pictures, by `millrace inspect --grid`.

`./check augmentations` runs it. An operation that the program knows and GEOMETRY and PIXELS do not is an error, and the other way
round.

Usage: augmentation_pictures.py MILLRACE [ROOT]
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = "width = 128, height = 96"
RESIZE = f'{{ op = "resize", {SIZE} }}'

# What a recipe says (the geometry before it is RESIZE, but for operations that are geometry themselves) -> a line on it.
# Probabilities are higher than the defaults where a row of five would show the operation too rarely.
GEOMETRY = {
    f'{{ op = "random_resized_crop", {SIZE} }}': "A random part, resized.",
    RESIZE: "To a given size, or a given short side.",
    f'{{ op = "resize", width = 256, height = 192 }}, {{ op = "center_crop", {SIZE} }}': "The middle.",
    f'{RESIZE}, {{ op = "horizontal_flip" }}': "Left and right exchanged, half of the time.",
    f'{RESIZE}, {{ op = "vertical_flip" }}': "Top and bottom exchanged, half of the time.",
}
PIXELS = {
    "Colours": {
        '{ op = "color_jitter", brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 }':
            "Brightness, contrast, saturation and hue, in random order.",
        '{ op = "brightness", factor = [0.2, 1.8] }': "Between black and more light.",
        '{ op = "contrast", factor = [0.2, 1.8] }': "Between the mean grey and more contrast.",
        '{ op = "saturation", factor = [0.0, 2.5] }': "Between grey and more colour.",
        '{ op = "hue", factor = [-0.5, 0.5] }': "All colours turned around the circle of hues.",
        '{ op = "hue_saturation_value", p = 1.0 }': "Shifts in HSV, as albumentations with OpenCV.",
        '{ op = "lighting", std = 0.5 }': "Shifts along the principal components of ImageNet's colours (usual: std = 0.1).",
        '{ op = "grayscale", p = 0.5 }': "Luminance in all channels.",
    },
    "Tones": {
        '{ op = "invert", p = 0.5 }': "255 minus the value.",
        '{ op = "solarize", threshold = 128, p = 0.5 }': "Values from the threshold on inverted.",
        '{ op = "posterize", bits = 2, p = 0.5 }': "Only the highest bits of each value.",
        '{ op = "equalize", p = 0.5 }': "Each channel's histogram made flat.",
        '{ op = "autocontrast", p = 0.5 }': "Each channel stretched to the whole range.",
    },
    "Sharpness": {
        '{ op = "sharpness", factor = [0.0, 8.0] }': "Between smoothed and sharpened.",
        '{ op = "adjust_sharpness", sharpness_factor = 6.0, p = 0.5 }': "Sharpened by a fixed factor, half of the time.",
        '{ op = "gaussian_blur", sigma = [0.1, 3.0] }': "Pillow's Gaussian blur.",
    },
    "Moves": {
        '{ op = "shear_x", shear = [-0.5, 0.5] }': "Rows moved in proportion to their height.",
        '{ op = "shear_y", shear = [-0.5, 0.5] }': "Columns moved in proportion to their place.",
        '{ op = "translate_x", translate = [-0.45, 0.45] }': "Moved along x.",
        '{ op = "translate_y", translate = [-0.45, 0.45] }': "Moved along y.",
        '{ op = "rotate", degrees = 45, interpolation = "bilinear", fill = [124, 116, 104] }':
            "Turned around the middle, here with interpolation and filled with ImageNet's mean.",
    },
    "Holes": {
        '{ op = "coarse_dropout", max_holes = 8, max_height = 16, max_width = 16, p = 0.8 }':
            "A number of rectangles of given size.",
        '{ op = "random_erasing", p = 0.8 }': "One rectangle of random size and shape.",
    },
    "Policies": {
        '{ op = "rand_augment" }': "Two random operations of equal strength.",
        '{ op = "trivial_augment_wide" }': "One random operation of random strength.",
        '{ op = "auto_augment", policy = "imagenet" }': "One of 25 learned pairs.",
        '{ op = "aug_mix" }': "A mixture of three chains of operations and the picture itself.",
        '{ op = "three_augment" }': "Grey, solarized or blurred.",
    },
}

HEAD = """# What the operations do

Each row shows one made-up picture (`millrace synth`) as a training loader delivers it in five epochs. Settings, defaults and
what each equals byte for byte are in [recipe.md](recipe.md#data). The same for your own pictures and recipe:

```sh
millrace inspect DATASET --grid grid.png --config RECIPE
```

This page is written by `./check augmentations`.
"""


def name_of(ops):
    """The operation that a list shows: its last."""
    return re.findall(r'op = "(\w+)"', ops)[-1]


def operations():
    """Section, name, list of operations and line of each."""
    for ops, line in GEOMETRY.items():
        yield "Geometry", name_of(ops), ops, line
    for section, shown in PIXELS.items():
        for ops, line in shown.items():
            yield section, name_of(ops), f"{RESIZE}, {ops}", line


def page():
    """The text of docs/augmentations.md."""
    text, current = HEAD, None
    for section, name, ops, line in operations():
        if section != current:
            text += f"\n## {section}\n"
        current = section
        shown = ops.removeprefix(f"{RESIZE}, ")
        text += f"\n### {name}\n{line}\n\n```toml\n{shown}\n```\n![{name}](augmentations/{name}.jpg)\n"
    return text


def recipe(ops):
    return f"""[data.train]
ops = [{ops}]
[batch]
per_device = 1
[model]
name = "resnet18"
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 1
"""


def known_operations(millrace, folder):
    """The names that the program lists for one that it does not know."""
    (folder / "unknown.toml").write_text(recipe('{ op = "?" }'))
    told = subprocess.run([millrace, "inspect", "none", "--grid", "none.png", "--config", folder / "unknown.toml"],
                          capture_output=True, text=True)
    return set(re.search(r"is not an operation; there are ([\w, ]+)", told.stderr).group(1).split(", "))


def main():
    millrace = Path(sys.argv[1]).absolute()
    root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known, shown = known_operations(millrace, folder), {name for _, name, _, _ in operations()}
        if known != shown:
            sys.exit(f"augmentation_pictures.py: the tables lack {known - shown or 'none'}, and what is gone is {shown - known or 'none'}")
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([millrace, "synth", "--to", folder / "made", "--images", "8", "--classes", "4", "--seed", "3"], **quiet)
        subprocess.run([millrace, "convert", "--from", folder / "made", "--to", folder / "set", "--split", "train"], **quiet)
        pictures = folder / "augmentations"
        pictures.mkdir()
        for _, name, ops, _ in operations():
            (folder / "recipe.toml").write_text(recipe(ops))
            subprocess.run([millrace, "inspect", folder / "set", "--grid", pictures / f"{name}.jpg", "--config",
                            folder / "recipe.toml", "--rows", "2", "--columns", "5"], **quiet)
        shutil.rmtree(root / "docs/augmentations", ignore_errors=True)
        shutil.copytree(pictures, root / "docs/augmentations")
    (root / "docs/augmentations.md").write_text(page())
    print(f"docs/augmentations.md: {len(shown)} operations")


if __name__ == "__main__":
    main()
