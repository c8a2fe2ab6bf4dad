#!/usr/bin/env python3
"""Feeds the same pictures with millrace and with its peers, in turns, and sets their rates side by side.

Every program makes what a train step takes: batches of 64 pictures of 224x224, cropped at random (8 % to all of the
area), flipped at random, normalised, in float32, on the CPU. The pictures are ImageNet originals, copied until there
are enough of them: millrace reads them from the shards of `millrace convert`, FFCV from the file of ffcv_convert.py,
the others from the image folder. Where both can make pictures smaller at conversion, millrace and FFCV run once more on
pictures of at most 400 pixels. README.md has the settings of each and how their pixels differ.

Each round runs every program once, in another order every time, as a process of its own that is confined to as many
cores as it has workers. All files have just been read (a warm page cache). A program makes some batches that do not
count, in which it starts its threads and compiles what it compiles, and then counts whole batches for a fixed time by
the steady clock of its consumer. A round that is not counted comes first. Every program runs on in one epoch: what it
loses between two does not count.

With one worker a bare loop over libjpeg-turbo's partial decode of such crops runs too, of feed_kernels_bench: what one
core could do if all else were free and no index told where in a file a crop lies.

Usage: feed.py --millrace PROGRAM --kernels PROGRAM --peers PYTHON --originals FOLDER --scratch FOLDER [options]

PYTHON is the interpreter of an environment with requirements.txt; feed_kernels_bench finds its pictures through
MILLRACE_TEST_DATA. Nothing is installed; everything that is written lies in the scratch folder, of which the pictures
and their conversions stay for the next time.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common import finish, into_page_cache, make_originals, print_head, print_row, result_of, save, spread

HERE = Path(__file__).resolve().parent
BATCH = 64
MAX_SIDE, QUALITY = 400, 90  # of what is made smaller at conversion: FFCV's `max_resolution` and its default quality
SMALL = f", {MAX_SIDE} px"  # ends the name of a program that reads such pictures
PROGRAMS = ("millrace", "torchvision v1", "torchvision v2", "DALI", "FFCV", "SPDL", "millrace" + SMALL, "FFCV" + SMALL)
BARE = "bare partial decode"
RECIPE = f"""\
seed = 1
[data.train]
ops = [ {{ op = "random_resized_crop", size = 224, scale = [0.08, 1.0] }}, {{ op = "horizontal_flip" }} ]
[batch]
per_device = {BATCH}
[model]
name = "resnet18"
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[schedule]
name = "constant"
[train]
epochs = 1
"""


@dataclass
class Run:
    """What one program made in the time that counts."""

    images: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds


def make_shards(folder: Path, shards: Path, settings: list, options: argparse.Namespace) -> Path:
    # Does nothing when the conversion is complete and goes on with one that is not.
    subprocess.run([options.millrace, "convert", "--from", folder, "--to", shards, *settings], check=True,
                   stdout=sys.stderr)
    return shards


def make_beton(folder: Path, beton: Path, max_side: int, options: argparse.Namespace) -> Path:
    if not beton.exists():
        unfinished = beton.with_suffix(".unfinished")
        finish([options.peers, "-B", HERE / "ffcv_convert.py", folder, unfinished, 1, "pillow", max_side], 1)
        unfinished.rename(beton)
    return beton


def make_sources(options: argparse.Namespace) -> dict[str, Path]:
    """The same pictures as each program reads them. Those that are there already are not made again."""
    folder = make_originals(options.originals, options.images, options.scratch)

    def named(kind: str) -> Path:
        return options.scratch / f"{folder.name}-{kind}"

    smaller = ["--max-side", str(MAX_SIDE), "--quality", str(QUALITY)]
    return {**dict.fromkeys(PROGRAMS, folder),
            "millrace": make_shards(folder, named("shards"), [], options),
            "FFCV": make_beton(folder, named("ffcv"), 0, options),
            "millrace" + SMALL: make_shards(folder, named(f"shards-{MAX_SIDE}"), smaller, options),
            "FFCV" + SMALL: make_beton(folder, named(f"ffcv-{MAX_SIDE}"), MAX_SIDE, options)}


def feed(program: str, sources: dict[str, Path], workers: int, options: argparse.Namespace) -> Run:
    name, *version = program.removesuffix(SMALL).lower().split()
    if name == "millrace":
        recipe = options.scratch / "feed.toml"
        recipe.write_text(RECIPE)
        into_page_cache(sources[program])
        text, _, _ = finish([options.millrace, "profile", recipe, "--data", sources[program], "--stages", "feed",
                             "--seconds", options.seconds, "--set", f"pipeline.workers={workers}", "--json",
                             "--out", options.scratch / "profile"], workers)
        alone = json.loads(text)["feed_alone"]
        return Run(alone["samples"], alone["seconds"])
    if program == BARE:
        text, _, _ = finish([options.kernels, "--benchmark_filter=^DecodeCrop$", "--benchmark_format=json",
                             f"--benchmark_min_time={options.seconds}"], workers)
        told = json.loads(text)["benchmarks"][0]
        if told.get("error_occurred"):
            sys.exit(f"{options.kernels}: {told['error_message']}")
        # Its rate is that of processor time, in milliseconds an iteration; all others are by the clock.
        images = told["items_per_second"] * told["cpu_time"] / 1000 * told["iterations"]
        return Run(round(images), told["real_time"] / 1000 * told["iterations"])
    into_page_cache(sources[program])
    text, _, _ = finish([options.peers, "-B", HERE / f"feed_{name}.py", *version, sources[program], workers, BATCH,
                         options.seconds], workers)
    return Run(**json.loads(text))


def measure(sources: dict[str, Path], workers: int, options: argparse.Namespace) -> dict[str, list[Run]]:
    programs = PROGRAMS + (BARE,) if workers == 1 else PROGRAMS
    runs: dict[str, list[Run]] = {program: [] for program in programs}
    for round_ in range(options.rounds + 1):
        first = round_ % len(programs)
        for program in programs[first:] + programs[:first]:
            run = feed(program, sources, workers, options)
            if round_ > 0:
                runs[program].append(run)
            print(f"  workers {workers}, round {round_}: {program} {run.rate:,.0f} images/s", file=sys.stderr)
    return runs


def print_rows(workers: int, runs: dict[str, list[Run]]) -> None:
    """Rows of a table. Ratios are those of one round, of pictures of the same size; median and range over the rounds."""
    for program, of_program in runs.items():
        own = "millrace" + SMALL if program.endswith(SMALL) else "millrace"
        ratios = [mine.rate / run.rate for mine, run in zip(runs[own], of_program, strict=True)]
        print_row([str(workers), program, spread([run.rate for run in of_program], ",.0f"),
                   "" if program == own else spread(ratios, ".2f")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millrace", type=Path, required=True)
    parser.add_argument("--kernels", type=Path, required=True, help="the program feed_kernels_bench")
    parser.add_argument("--peers", type=Path, required=True, help="Python of the environment with the peers")
    parser.add_argument("--originals", type=Path, required=True, help="image folder of JPEGs of ImageNet's size")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000, help="in the set (default: 1000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each run, those that count (default: 10)")
    parser.add_argument("--json", type=Path, help="where to write every single run")
    options = parser.parse_args()
    if max(options.workers) > len(os.sched_getaffinity(0)):
        parser.error(f"{max(options.workers)} workers are more than this machine has cores")

    sources = make_sources(options)
    results = []
    print_head(["workers", "program", "images/s", "millrace's rate over this"])
    for workers in options.workers:
        runs = measure(sources, workers, options)
        print_rows(workers, runs)
        results.append(result_of(runs, images=options.images, workers=workers))
    save(results, options.json)


if __name__ == "__main__":
    main()
