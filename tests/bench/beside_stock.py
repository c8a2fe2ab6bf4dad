#!/usr/bin/env python3
"""Accuracy and time of recipes on Imagenette beside PyTorch's and torchvision's own training (tests/reference/stock_train.py, channels-last).

For each seed, one after the other on the same cores: stock training, then `millrace train` with each recipe. The time is that
of the whole process, from its start to its end, evaluations and checkpoints included; the conversion, which is made once,
is told by itself. Beside it stands the processor time, which other programs on the machine change less. The accuracy is the
last epoch's, of all pictures of val/.

Usage: beside_stock.py --millrace PROGRAM --python PYTHON --pictures FOLDER --scratch FOLDER RECIPE... [options]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

STOCK = Path(__file__).resolve().parents[1] / "reference/stock_train.py"


def timed(command: list, log: Path) -> dict:
    """What the command takes [s], and what it writes to its standard output."""
    before, begun_s = os.times(), time.monotonic()
    with log.open("a") as errors:
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True,
                              check=False)
    after = os.times()
    if done.returncode != 0:
        sys.exit(f"beside_stock: {' '.join(map(str, command))} ended with {done.returncode}; see {log}")
    return {"seconds": time.monotonic() - begun_s, "cpu_s": sum(after[2:4]) - sum(before[2:4]), "output": done.stdout}


def stock(args: argparse.Namespace, seed: int) -> dict:
    run = timed([args.python, STOCK, args.pictures, "--seed", seed, "--epochs", args.epochs, "--channels-last"],
                args.scratch / "stock.log")
    return {**run, "top1": json.loads(run.pop("output").splitlines()[-1])["val_top1"]}


def millrace(args: argparse.Namespace, recipe: Path, seed: int) -> dict:
    out = args.scratch / "runs" / f"{recipe.stem}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    run = timed([args.millrace, "train", recipe, "--data", args.scratch / "data", "--out", out, "--devices", "cpu", "--set",
                 f"seed={seed}", "--json"], args.scratch / "millrace.log")
    del run["output"]
    evaluations = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines() if '"val"' in line]
    return {**run, "top1": evaluations[-1]["top1"]}


def table(figures: dict[str, list]) -> str:
    """In Markdown."""
    lines = ["| | top-1, mean (each seed) | time of a run [s], median | of stock's, median of seeds | processor time [s] | of "
             "stock's |", "| --- | --- | --- | --- | --- | --- |"]
    for name, runs in figures.items():
        each = ", ".join(f"{run['top1']:.4f}" for run in runs)
        shares = {kind: statistics.median(run[kind] / other[kind] for run, other in zip(runs, figures["stock"], strict=False))
                  for kind in ("seconds", "cpu_s")}
        lines.append(f"| {name} | {statistics.mean(run['top1'] for run in runs):.4f} ({each}) | "
                     f"{statistics.median(run['seconds'] for run in runs):.0f} | {shares['seconds']:.2f} | "
                     f"{statistics.median(run['cpu_s'] for run in runs):.0f} | {shares['cpu_s']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--millrace", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True, help="with torch and torchvision")
    parser.add_argument("--pictures", type=Path, required=True, help="an image folder with train/ and val/")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=16, help="of stock training (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--go-on", action="store_true",
                        help="keep what --json has of a comparison of this program and these recipes that was interrupted")
    args = parser.parse_args()
    if args.go_on and not args.json:
        parser.error("--go-on needs --json")
    args.scratch = args.scratch.absolute()
    args.scratch.mkdir(parents=True, exist_ok=True)
    if not (args.scratch / "data/manifest.json").exists():
        for split in ("train", "val"):
            run = timed([args.millrace, "convert", "--from", args.pictures / split, "--to", args.scratch / "data", "--split", split],
                        args.scratch / "convert.log")
            print(f"conversion of {split}: {run['seconds']:.1f} s", flush=True)
    figures: dict[str, list] = json.loads(args.json.read_text()) if args.go_on and args.json.exists() else {"stock": []}
    for seed in range(args.seeds):
        turns = {"stock": lambda: stock(args, seed)}  # noqa: B023 (called within the turn)
        turns |= {recipe.stem: lambda recipe=recipe: millrace(args, recipe, seed) for recipe in args.recipes}  # noqa: B023
        for name, turn in turns.items():
            if len(figures.get(name, [])) > seed:
                continue
            run = turn()
            figures.setdefault(name, []).append(run)
            print(f"seed {seed}, {name}: top-1 {run['top1']:.4f}, {run['seconds']:.0f} s ({run['cpu_s']:.0f} s of processors)",
                  flush=True)
            if args.json:
                args.json.parent.mkdir(parents=True, exist_ok=True)
                args.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\n{table(figures)}")


if __name__ == "__main__":
    main()
