#!/usr/bin/env python3
"""Feeds a dataset from a disk with less memory than the dataset is large, in block order and in full order.

A control group limits what the program and the page cache of its files may take together, and, where asked for, how fast
the disk reads. Each round measures, in turns: the disk by reading the shards in sequence past the page cache; the feed
(`millrace profile --stages feed`) in block order and in full order, with nothing of the dataset in the page cache when it
begins; and the feed with the whole dataset in memory, without limits. With a program that is faster than the disk, block
order should deliver pictures at the rate at which the disk reads in sequence; with one that is slower, at the rate that
it has from memory. (Block order then reads past the page cache, and waits for blocks, not for pages.)

The pictures are made up (`millrace synth`) and stay in the scratch folder for the next time. Needs root and control
groups, version 1 or 2.

Usage: cold_feed.py --millrace PROGRAM --scratch FOLDER [options]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
GROUP = "millrace-cold-feed"

RECIPE = """
[data.train]
ops = [{ op = "random_resized_crop", size = 224 }, { op = "horizontal_flip" }]
[batch]
per_device = 64
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


class Group:
    """The limits of the programs that it starts: memory with page cache [MiB], reading [MB/s; 0: none]."""

    def __init__(self, memory_mib: int, disk_mb_s: float, folder: Path) -> None:
        device = os.stat(folder).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        bytes_s = int(disk_mb_s * 1e6)
        if (GROUPS / "cgroup.controllers").exists():
            self.folders = [GROUPS / GROUP]
            (GROUPS / "cgroup.subtree_control").write_text("+memory +io")
            limits = {"memory.max": str(memory_mib << 20), "io.max": f"{number} rbps={bytes_s or 'max'}"}
        else:
            self.folders = [GROUPS / "memory" / GROUP, GROUPS / "blkio" / GROUP]
            limits = {"memory.limit_in_bytes": str(memory_mib << 20),
                      "blkio.throttle.read_bps_device": f"{number} {bytes_s}"}
        for group in self.folders:
            group.mkdir(exist_ok=True)
        for name, value in limits.items():
            next(group / name for group in self.folders if (group / name).exists()).write_text(value)

    def enter(self) -> None:
        for group in self.folders:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        for group in self.folders:
            group.rmdir()


@contextlib.contextmanager
def limits(memory_mib: int, disk_mb_s: float, folder: Path) -> Iterator[Group]:
    try:
        group = Group(memory_mib, disk_mb_s, folder)
    except OSError as error:
        sys.exit(f"cold_feed: no control group can be made ({error}); this needs root")
    try:
        yield group
    finally:
        group.remove()


def run(command: list, group: Group | None = None) -> str:
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=group.enter if group else None, check=False)
    if done.returncode != 0:
        sys.exit(f"cold_feed: {' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout.decode()


def forget(shards: list[Path]) -> None:
    """Drops the files from the page cache."""
    for shard in shards:
        descriptor = os.open(shard, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def disk_rate(shards: list[Path], group: Group) -> float:
    """[MB/s] of one reader of large pieces, in sequence, past the page cache."""
    # dd tells "N bytes (...) copied, S s, ..." on stderr; in C.UTF-8, whatever the user's language.
    seconds = 0.0
    for shard in shards:
        done = subprocess.run(["dd", f"if={shard}", "of=/dev/null", "iflag=direct", "bs=4M"], capture_output=True,
                              env={**os.environ, "LC_ALL": "C"}, preexec_fn=group.enter, check=True)
        seconds += float(done.stderr.decode().split(" copied, ")[1].split(" s,")[0])
    return sum(shard.stat().st_size for shard in shards) / seconds / 1e6


def feed_rate(arguments: argparse.Namespace, order: str, group: Group | None) -> tuple[float, int]:
    """The feed alone: images/s and how often a read had to wait for a page."""
    command = [arguments.millrace, "profile", arguments.scratch / "recipe.toml", "--data", arguments.scratch / "data",
               "--stages", "feed", "--set", f"data.train.shuffle={order}", "--seconds", arguments.seconds, "--json",
               "--out", arguments.scratch / "profile"]
    measured = json.loads(run(command, group))["feed_alone"]
    return measured["images_per_s"], measured["stages"]["read"]["major_faults"]


def make_dataset(arguments: argparse.Namespace) -> list[Path]:
    data = arguments.scratch / "data"
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    (arguments.scratch / "recipe.toml").write_text(RECIPE)
    if not (data / "manifest.json").exists():
        pictures = arguments.scratch / "pictures"
        if not pictures.exists():
            run([arguments.millrace, "synth", "--to", pictures, "--images", arguments.images, "--classes", 100])
        run([arguments.millrace, "convert", "--from", pictures, "--to", data, "--shards", 8])
    return sorted(data.glob("*.lmdb"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millrace", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--images", type=int, default=18000, help="of 103 KB (default: %(default)s)")
    parser.add_argument("--memory-mib", type=int, default=700, help="for program and page cache (default: %(default)s)")
    parser.add_argument("--disk-mb-s", type=float, default=0, help="slows the disk down (default: as fast as it is)")
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    shards = make_dataset(arguments)
    manifest = json.loads((arguments.scratch / "data/manifest.json").read_text())
    bytes_per_image = sum(shard.stat().st_size for shard in shards) / manifest["splits"]["train"]["records"]
    rates: dict[str, list[float]] = {"disk": [], "blocks": [], "full": [], "memory": []}
    waits: dict[str, list[int]] = {"blocks": [], "full": [], "memory": []}
    for number in range(arguments.rounds):
        with limits(arguments.memory_mib, arguments.disk_mb_s, shards[0]) as group:
            forget(shards)
            # As many shards as the disk reads in a while; the first ones stand for all.
            rates["disk"].append(disk_rate(shards[:2], group) * 1e6 / bytes_per_image)
        for name in ("blocks", "full"):
            forget(shards)
            with limits(arguments.memory_mib, arguments.disk_mb_s, shards[0]) as group:
                rate, wait = feed_rate(arguments, name, group)
                rates[name].append(rate)
                waits[name].append(wait)
        for shard in shards:
            shard.read_bytes()
        rate, wait = feed_rate(arguments, "blocks", None)
        rates["memory"].append(rate)
        waits["memory"].append(wait)
        print(f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:,.0f}" for name, values in rates.items()),
              flush=True)

    line = min(statistics.median(rates["disk"]), statistics.median(rates["memory"]))
    print(f"\n{sum(shard.stat().st_size for shard in shards) / 1e6:,.0f} MB of data, {arguments.memory_mib} MiB of memory")
    print("| | images/s, median (least to most) | MB/s | of what disk and program allow | waits for a page |")
    print("| --- | --- | --- | --- | --- |")
    for name, label in (("disk", "disk, in sequence"), ("memory", "feed from memory, no limits"),
                        ("blocks", "feed in block order"), ("full", "feed in full order")):
        middle = statistics.median(rates[name])
        print(f"| {label} | {middle:,.0f} ({min(rates[name]):,.0f} to {max(rates[name]):,.0f}) | "
              f"{middle * bytes_per_image / 1e6:,.0f} | {middle / line:.0%} | "
              f"{statistics.median(waits[name]) if name in waits else '-'} |")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"images_per_s": rates, "waits": waits, "memory_mib": arguments.memory_mib,
                                              "bytes_per_image": bytes_per_image}, indent=2) + "\n")


if __name__ == "__main__":
    main()
