"""What the comparisons of this folder share: sets of pictures, programs on as many cores as they have workers, results."""

import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of pixels from 0 to 1
TIME_LIMIT_S = 1200  # of one program: when a worker of FFCV dies, its writer waits for ever


def pictures_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def into_page_cache(path: Path) -> None:
    """Reads a file or all of a folder."""
    for file in pictures_of(path) if path.is_dir() else [path]:
        file.read_bytes()


@contextlib.contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name when that is done."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(folder)


def make_originals(originals: Path, images: int, scratch: Path) -> Path:
    """An image folder with copies of the originals in turn until there are enough; made only if it is not there."""
    copies = scratch / f"originals-{images}"
    if not copies.exists():
        sources = pictures_of(originals)
        if not sources:
            sys.exit(f"{originals} has no pictures")
        with complete_folder(copies) as folder:
            for i in range(images):
                source = sources[i % len(sources)]
                to = folder / source.parent.name / f"{i // len(sources)}-{source.name}"
                to.parent.mkdir(exist_ok=True)
                shutil.copyfile(source, to)
    return copies


def finish(command: list, workers: int) -> tuple[str, float, float]:
    """Standard output, seconds and processor seconds of a command on as many cores as there are workers."""
    cores = sorted(os.sched_getaffinity(0))[:workers]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    # A session of its own, so that a writer that waits for ever can be ended with its processes.
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: os.sched_setaffinity(0, cores), start_new_session=True)
    try:
        out, err = process.communicate(timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args)} ended with {process.returncode}\n{err[-4000:]}")
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return out, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def print_head(titles: list[str]) -> None:
    print_row(titles)
    print_row(["---"] * len(titles))


def result_of(runs: dict[str, list], **conditions) -> dict:
    """Every single run of every program under some conditions."""
    return {**conditions, "runs": {program: list(map(asdict, of_program)) for program, of_program in runs.items()}}


def save(results: list[dict], path: Path | None) -> None:
    """Writes what result_of() made, and the machine, as JSON; nowhere without a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": platform.uname()._asdict(), "results": results}, indent=2) + "\n")


def time_batches(batches: Iterator, batch_size: int, seconds: float, warm_up: int = 8) -> str:
    """JSON of the images that come in about so many seconds, as whole batches, and the seconds that they take.

    The clock runs from the arrival of one batch to that of another, so that what is under way counts at neither end.
    Checks that a batch is what all programs have to make: pictures of 224x224 in float32.
    """
    for _ in range(warm_up):
        batch = next(batches)
    if sorted(batch.shape) != [3, batch_size, 224, 224] or not str(batch.dtype).endswith("float32"):
        sys.exit(f"batches are {list(batch.shape)} of {batch.dtype}")
    count = 0
    begin = now = time.monotonic()
    while now - begin < seconds:
        next(batches)
        count += 1
        now = time.monotonic()
    return json.dumps({"images": count * batch_size, "seconds": now - begin})
