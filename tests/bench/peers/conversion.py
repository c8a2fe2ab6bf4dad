#!/usr/bin/env python3
"""Converts the same image folders with millrace and with FFCV, in turns, and sets their rates side by side.

Two sets of pictures: ImageNet originals, copied until there are enough of them, and those of `millrace synth`. Each
round runs every program once over a set, in another order every time, as a process of its own that is confined to as
many cores as it has workers. All files have just been read (a warm page cache) and nothing waits to be written when a
program starts. A round that is not counted comes first.

The time of both starts when the program is loaded: that of FFCV after its imports, that of millrace is the time of the
process less that of `millrace --version`. It ends when all is on disk: what a program has not synced itself the system
is told to, which is `sync`. Processor time tells the programs apart even where other programs run.

Usage: conversion.py --millrace PROGRAM --ffcv PYTHON --originals FOLDER --scratch FOLDER [options]

PYTHON is the interpreter of an environment with requirements.txt. Nothing is installed; everything that is written lies
in the scratch folder, of which the sets of pictures stay for the next time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import finish, into_page_cache, make_originals, pictures_of, print_head, print_row, result_of, save, spread

HERE = Path(__file__).resolve().parent
PROGRAMS = ("millrace", "FFCV, Pillow reads", "FFCV, OpenCV reads")


@dataclass
class Run:
    """One conversion by one program."""

    seconds: float  # until all is on disk
    processor_seconds: float
    sync_seconds: float  # how long of it the program did not wait for
    bytes: int


def make_sets(options: argparse.Namespace) -> dict[str, Path]:
    """The image folders by name; those that are there already are not made again."""
    originals = make_originals(options.originals, options.images, options.scratch)
    synth = options.scratch / f"synth-{options.images}"
    if not synth.exists():
        subprocess.run([options.millrace, "synth", "--to", synth, "--images", str(options.images), "--classes", "100"],
                       check=True)
    return {"originals": originals, "synth": synth}


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in pictures_of(path)) if path.is_dir() else path.stat().st_size


def convert(program: str, pictures: Path, workers: int, options: argparse.Namespace) -> Run:
    """One run, after which nothing is left of its output."""
    out = options.scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    files = pictures_of(pictures)
    into_page_cache(pictures)
    os.sync()
    if program == "millrace":
        to = out / "data"
        command = [options.millrace, "convert", "--from", pictures, "--to", to, "--jobs", workers, "--json"]
        _, load_seconds, load_processor_seconds = finish([options.millrace, "--version"], workers)
        text, seconds, processor_seconds = finish(command, workers)
        seconds, processor_seconds = seconds - load_seconds, processor_seconds - load_processor_seconds
        records = json.loads(text)["records"]
    else:
        to = out / "data.beton"
        reader = "pillow" if "Pillow" in program else "opencv"
        text, _, _ = finish([options.ffcv, "-B", HERE / "ffcv_convert.py", pictures, to, workers, reader, 0], workers)
        told = json.loads(text)
        records, seconds, processor_seconds = told["records"], told["seconds"], told["processor_seconds"]
    if records != len(files):
        sys.exit(f"{program} made {records} records of {len(files)} pictures")
    begin = time.monotonic()
    os.sync()
    sync_seconds = time.monotonic() - begin
    run = Run(seconds + sync_seconds, processor_seconds, sync_seconds, size_of(to))
    shutil.rmtree(out)
    return run


def measure(pictures: Path, workers: int, options: argparse.Namespace) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {program: [] for program in PROGRAMS}
    for round_ in range(options.rounds + 1):
        first = round_ % len(PROGRAMS)
        for program in PROGRAMS[first:] + PROGRAMS[:first]:
            run = convert(program, pictures, workers, options)
            if round_ > 0:
                runs[program].append(run)
            print(f"  {pictures.name}, workers {workers}, round {round_}: {program} {run.seconds:.2f} s",
                  file=sys.stderr)
    return runs


def print_rows(name: str, workers: int, pictures: Path, runs: dict[str, list[Run]]) -> None:
    """Rows of a table. Ratios are those of one round; median and range over the rounds."""
    files = pictures_of(pictures)
    size = size_of(pictures)
    for program, of_program in runs.items():
        rounds = list(zip(of_program, runs["millrace"], strict=True))
        ratios = [[run.seconds / own.seconds for run, own in rounds],
                  [run.processor_seconds / own.processor_seconds for run, own in rounds]]
        cells = [name, str(workers), program,
                 spread([len(files) / run.seconds for run in of_program], ",.0f"),
                 f"{statistics.median(len(files) / run.processor_seconds for run in of_program):,.0f}",
                 f"{statistics.median(run.sync_seconds for run in of_program):.2f}",
                 f"{statistics.median(run.bytes for run in of_program) / size:.3f}",
                 *("" if program == "millrace" else spread(ratio, ".2f") for ratio in ratios)]
        print_row(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millrace", type=Path, required=True)
    parser.add_argument("--ffcv", type=Path, required=True, help="Python of the environment with FFCV")
    parser.add_argument("--originals", type=Path, required=True, help="image folder of JPEGs of ImageNet's size")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=("originals", "synth"), default=["originals", "synth"])
    parser.add_argument("--images", type=int, default=4000, help="in each set (default: 4000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write every single run")
    options = parser.parse_args()
    if max(options.workers) > len(os.sched_getaffinity(0)):
        parser.error(f"{max(options.workers)} workers are more than this machine has cores")

    sets = make_sets(options)
    results = []
    print_head(["pictures", "workers", "program", "images/s", "per processor second", "sync [s]",
                "bytes of the originals'", "millrace's rate over this", "per processor second"])
    for name in options.sets:
        for workers in options.workers:
            runs = measure(sets[name], workers, options)
            print_rows(name, workers, sets[name], runs)
            results.append(result_of(runs, pictures=name, images=options.images, workers=workers))
    save(results, options.json)


if __name__ == "__main__":
    main()
