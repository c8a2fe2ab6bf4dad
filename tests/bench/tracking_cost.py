#!/usr/bin/env python3
"""What telling trackers costs a training run on the CPU.

Trains the same recipe in turns: with as little told as there can be (no tracker, no pictures, no histograms, no line of
numbers but the last), with everything told and a real MLflow server to tell it to, and with everything told and a server
that takes connections and never answers. Beside images/s, in training alone as the program tells them, it takes from the
system how much processor time the whole run used and how much of that the threads which track: other programs on the
machine change these less. The server stands for another machine: it runs only on cores that nobody else wants.

The pictures are made up (`millrace synth`) and stay in the scratch folder for the next time. Needs the packages of
tests/trackers/requirements.txt.

Usage: tracking_cost.py --millrace PROGRAM --scratch FOLDER [options]
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trackers"))
from conftest import MlflowServer  # noqa: E402
from support import environment  # noqa: E402

RECIPE = """
[data.train]
ops = [{{ op = "random_resized_crop", size = {size} }}, {{ op = "horizontal_flip" }}]
[data.val]
ops = [{{ op = "resize", size = {size} }}, {{ op = "center_crop", size = {size} }}]
[batch]
per_device = {batch}
[model]
name = "resnet18"
width = {width}
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.01
[train]
epochs = {epochs}
log_every_steps = {log_every}
"""
# Steps of 0.2 s as on a CPU and lines as by default; and a line for each of as many steps a second as a GPU makes. By
# default epochs are as long as those of Imagenette.
WORKLOADS = {"default": {"size": 64, "batch": 64, "width": 64, "epochs": 2, "log_every": 10},
             "small steps": {"size": 32, "batch": 8, "width": 8, "epochs": 2, "log_every": 1}}
SILENCE = ["tracking.system=none", "tracking.pictures=0", "tracking.histograms=false", "train.log_every_steps=1000000"]
TRACKING_THREADS = ["run log", "tracker", "node monitor", "pictures"]


class Silent:
    """Takes connections and never answers."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.connections = []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self) -> None:
        while True:
            self.connections.append(self.socket.accept()[0])

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"


def run(command: list, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"tracking_cost: {' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done


def make_dataset(arguments: argparse.Namespace) -> None:
    arguments.data = arguments.scratch / f"data-{arguments.images}"
    if (arguments.data / "manifest.json").exists():
        return
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    for split, images in (("train", arguments.images), ("val", arguments.images // 10)):
        pictures = arguments.scratch / f"pictures-{split}"
        shutil.rmtree(pictures, ignore_errors=True)
        run([arguments.millrace, "synth", "--to", pictures, "--images", images, "--classes", 10])
        run([arguments.millrace, "convert", "--from", pictures, "--to", arguments.data, "--split", split,
             "--resize-short", 96, "--quality", 90])


def threads_seconds(process: subprocess.Popen, seconds: dict[str, tuple[str, float]]) -> None:
    """Notes the processor time of each thread so far, by its number."""
    tick = os.sysconf("SC_CLK_TCK")
    try:
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            name, _, rest = (task / "stat").read_text().partition(" (")[2].rpartition(") ")
            fields = rest.split()
            seconds[task.name] = (name, (int(fields[11]) + int(fields[12])) / tick)
    except OSError:
        pass  # it has ended meanwhile


def train(arguments: argparse.Namespace, recipe: Path, *settings: str, **variables: str) -> dict[str, float]:
    """images/s in training, the processor time [s] of the run, and of its threads that track, by name."""
    out = arguments.scratch / "run"
    shutil.rmtree(out, ignore_errors=True)
    command = [arguments.millrace, "train", recipe, "--data", arguments.data, "--out", out, "--devices", "cpu",
               "--json", *(word for setting in settings for word in ("--set", setting))]
    seconds: dict[str, tuple[str, float]] = {}
    with (arguments.scratch / "output").open("w+") as output, (arguments.scratch / "errors").open("w+") as errors:
        before = os.times()
        process = subprocess.Popen(list(map(str, command)), env={**environment(), **variables}, stdout=output, stderr=errors,
                                   stdin=subprocess.DEVNULL)
        while process.poll() is None:
            threads_seconds(process, seconds)
            time.sleep(0.1)
        after = os.times()
        if process.returncode != 0:
            errors.seek(0)
            sys.exit(f"tracking_cost: the training ended with {process.returncode}:\n{errors.read()}")
        output.seek(0)
        rate = json.load(output)["images_per_s"]
    return {"images_per_s": rate, "cpu_s": sum(after[2:4]) - sum(before[2:4]),
            **{thread: sum(used for name, used in seconds.values() if name == thread) for thread in TRACKING_THREADS}}


def check_arrived(server: MlflowServer, experiment: str, scratch: Path) -> None:
    found = server.run(experiment)
    lines = [json.loads(line) for line in (scratch / "run/metrics.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if line["group"] == "train"]
    assert found["info"]["status"] == "FINISHED", found["info"]
    assert server.history(found, "training/supervised batch loss") == losses


def table(kinds: dict[str, list]) -> str:
    """In Markdown."""
    lines = ["| | images/s, median (least to most) | of nothing told, median of rounds | processor time [s] | of it, the thread "
             + " | ".join(TRACKING_THREADS) + " |", "| --- | --- | --- | --- " + "| --- " * len(TRACKING_THREADS) + "|"]
    for kind, values in kinds.items():
        rates = [value["images_per_s"] for value in values]
        shares = [rate / other["images_per_s"] for rate, other in zip(rates, kinds["nothing told"], strict=True)]
        used = statistics.median(value["cpu_s"] for value in values)
        threads = " | ".join(f"{statistics.median(value[thread] / value['cpu_s'] for value in values):.2%}"
                             for thread in TRACKING_THREADS)
        lines.append(f"| {kind} | {statistics.median(rates):,.1f} ({min(rates):,.1f} to {max(rates):,.1f}) | "
                     f"{statistics.median(shares):.1%} | {used:.1f} | {threads} |")
    return "\n".join(lines)


def write(arguments: argparse.Namespace, figures: dict[str, dict[str, list]]) -> None:
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"images": arguments.images, "workloads": WORKLOADS, "figures": figures},
                                             indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millrace", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--images", type=int, default=9469, help="of the training set (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    arguments.scratch = arguments.scratch.absolute()

    make_dataset(arguments)
    folder = arguments.scratch / "mlflow"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    server, silent = MlflowServer(folder), Silent()
    figures: dict[str, dict[str, list]] = {}
    try:
        server.start()
        for pid in run(["ps", "-o", "pid=", "--sid", server.process.pid]).stdout.split():
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
        for workload in arguments.workloads:
            recipe = arguments.scratch / "recipe.toml"
            recipe.write_text(RECIPE.format(**WORKLOADS[workload]))
            kinds = figures[workload] = {"nothing told": [], "MLflow": [], "hanging": []}
            for number in range(arguments.rounds):
                experiment = f"{workload} {number}"
                told = {"nothing told": lambda: train(arguments, recipe, *SILENCE),
                        "MLflow": lambda: train(arguments, recipe, MLFLOW_TRACKING_URI=server.uri,
                                                MLFLOW_EXPERIMENT_NAME=experiment),
                        "hanging": lambda: train(arguments, recipe, MLFLOW_TRACKING_URI=silent.uri)}
                # No kind is always the first or the last of a round.
                for kind in [list(kinds)[(number + place) % len(kinds)] for place in range(len(kinds))]:
                    kinds[kind].append(told[kind]())
                    if kind == "MLflow":
                        check_arrived(server, experiment, arguments.scratch)
                print(f"{workload}, round {number + 1}: " + ", ".join(
                    f"{kind} {values[-1]['images_per_s']:,.1f} images/s ({values[-1]['cpu_s']:.1f} s, tracking "
                    f"{sum(values[-1][thread] for thread in TRACKING_THREADS):.2f} s)"
                    for kind, values in kinds.items()), flush=True)
                write(arguments, figures)
    finally:
        server.kill()

    for workload, kinds in figures.items():
        print(f"\n{workload}\n\n{table(kinds)}")
    write(arguments, figures)


if __name__ == "__main__":
    main()
