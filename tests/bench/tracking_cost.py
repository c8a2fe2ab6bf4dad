#!/usr/bin/env python3
"""What telling trackers costs a training run on the CPU.

Trains the same recipe in as many processes at once as --runs says of each of three kinds: with as little told as there can be
(no tracker, no pictures, no histograms, no line of numbers but the last), with everything told and a real MLflow server to tell
it to, and with everything told and a server that takes connections and never answers. Only one process may run at a time: it
goes on for a tenth of a second while the others are stopped, and so on in turns, so that what else happens on the machine meets
all alike. (A virtual machine's pace changes by 15 % from second to second, less within one.) Processes of one kind differ, too,
by a percent and more, so that one of each says little. An epoch's images/s are over the time that its run was given from the
checkpoint behind the epoch before to its own: what telling adds to its evaluation counts, too. Beside it stands the processor
time of the run and, of it, that of the threads which track. The server stands for another machine: it has a turn of its own
when each run has had one, and works beside a run only when the run has no epoch left and waits for it.

The pictures are made up (`millrace synth`) and stay in the scratch folder for the next time. Needs the packages of
tests/trackers/requirements.txt.

Usage: tracking_cost.py --millrace PROGRAM --scratch FOLDER [options]
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
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
# Steps of 0.2 s as on a CPU and lines as by default; and a line for each of as many steps a second as a GPU makes. An
# epoch of the first takes 5 to 25 s on two cores: short beside those that people train with.
WORKLOADS = {"default": {"size": 64, "batch": 64, "width": 64, "epochs": 2, "log_every": 10},
             "small steps": {"size": 32, "batch": 8, "width": 8, "epochs": 2, "log_every": 1}}
TURN_S = 0.1
SERVER_TURN_S = 0.02  # for each run
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


class Training:
    """A run that goes on only within turn(): its time and processor time [s] at each checkpoint behind an epoch."""

    def __init__(self, arguments: argparse.Namespace, recipe: Path, kind: str, experiment: str, *settings: str,
                 **variables: str):
        self.kind, self.experiment = kind, experiment
        self.folder = arguments.scratch / f"{kind} {experiment}".replace(" ", "-")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.errors = self.folder / "errors"
        command = [arguments.millrace, "train", recipe, "--data", arguments.data, "--out", self.folder / "run", "--devices",
                   "cpu", *(word for setting in settings for word in ("--set", setting))]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(list(map(str, command)), env={**environment(), **variables}, stdout=errors,
                                            stderr=errors, stdin=subprocess.DEVNULL)
        self.process.send_signal(signal.SIGSTOP)
        self.given_s = 0.0
        self.threads_s: dict[str, tuple[str, float]] = {}  # name and processor time [s] by number, of ended ones, too
        self.marks: list[dict[str, float]] = []

    def turn(self, seconds: float) -> bool:
        """Whether there is anything left to do."""
        self.process.send_signal(signal.SIGCONT)
        before = now = time.monotonic()
        while now < before + seconds and self.process.poll() is None:
            time.sleep(0.01)
            now = time.monotonic()
            self.look(self.given_s + now - before)
        self.process.send_signal(signal.SIGSTOP)
        self.given_s += now - before
        if self.process.returncode:
            sys.exit(f"tracking_cost: the training ended with {self.process.returncode}:\n{self.errors.read_text()}")
        return self.process.returncode is None

    def look(self, given_s: float) -> None:
        try:
            lines = (self.folder / "run/metrics.jsonl").read_text()
        except OSError:
            return
        if lines.count('"group":"checkpoint"') > len(self.marks):
            self.note_threads()
            self.marks.append({"seconds": given_s, **{thread: sum(used for name, used in self.threads_s.values() if name == thread)
                                                      for thread in TRACKING_THREADS},
                               "cpu_s": sum(used for _, used in self.threads_s.values())})

    def note_threads(self) -> None:
        tick = os.sysconf("SC_CLK_TCK")
        try:
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                name, _, rest = (task / "stat").read_text().partition(" (")[2].rpartition(") ")
                fields = rest.split()
                self.threads_s[task.name] = (name, (int(fields[11]) + int(fields[12])) / tick)
        except OSError:
            pass  # it has ended meanwhile

    def has_all_epochs(self, workload: str) -> bool:
        return len(self.marks) == WORKLOADS[workload]["epochs"]

    def epochs(self, images: int) -> list[dict[str, float]]:
        """What each epoch but the first took, and its images/s."""
        taken = [{name: now[name] - before[name] for name in now} for before, now in itertools.pairwise(self.marks)]
        return [{**epoch, "images_per_s": images / epoch["seconds"]} for epoch in taken]


def let_work(server: MlflowServer, works: bool) -> None:
    os.killpg(server.process.pid, signal.SIGCONT if works else signal.SIGSTOP)


def take_turns(trainings: list[Training], workload: str, server: MlflowServer) -> None:
    """Until all have ended. Each is the one behind the server as often as the others."""
    while trainings:
        left = []
        for training in trainings:
            let_work(server, training.has_all_epochs(workload))
            if training.turn(TURN_S):
                left.append(training)
        trainings = left[1:] + left[:1]
        let_work(server, True)
        time.sleep(SERVER_TURN_S * len(trainings))


def check_arrived(server: MlflowServer, training: Training) -> None:
    found = server.run(training.experiment)
    lines = [json.loads(line) for line in (training.folder / "run/metrics.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if line["group"] == "train"]
    assert found["info"]["status"] == "FINISHED", found["info"]
    assert server.history(found, "training/supervised batch loss") == losses


def interval(shares: list[float]) -> str:
    """The median of the pairs' shares, and where 95 % of the medians of as many pairs drawn from them lie (bootstrap)."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(shares, k=len(shares))) for _ in range(10_000))
    return f"{statistics.median(shares):.2%} ({medians[250]:.2%} to {medians[-251]:.2%})"


def table(kinds: dict[str, list]) -> str:
    """In Markdown."""
    lines = ["| | images/s, median (least to most) | of nothing told, median of epochs (95 %) | processor time of an epoch [s] | of "
             "it, the thread " + " | ".join(TRACKING_THREADS) + " |", "| --- " * (4 + len(TRACKING_THREADS)) + "|"]
    for kind, epochs in kinds.items():
        rates = [epoch["images_per_s"] for epoch in epochs]
        shares = [rate / other["images_per_s"] for rate, other in zip(rates, kinds["nothing told"], strict=True)]
        used = statistics.median(epoch["cpu_s"] for epoch in epochs)
        threads = " | ".join(f"{statistics.mean(epoch[thread] / epoch['cpu_s'] for epoch in epochs):.2%}"
                             for thread in TRACKING_THREADS)
        lines.append(f"| {kind} | {statistics.median(rates):,.1f} ({min(rates):,.1f} to {max(rates):,.1f}) | {interval(shares)} | "
                     f"{used:.1f} | {threads} |")
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
    parser.add_argument("--images", type=int, default=1600, help="of the training set (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=4, help="of each kind (default: %(default)s)")
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
    trainings: list[Training] = []
    try:
        server.start()
        for workload in arguments.workloads:
            recipe = arguments.scratch / "recipe.toml"
            recipe.write_text(RECIPE.format(**WORKLOADS[workload]))
            kinds = figures[workload] = {"nothing told": [], "MLflow": [], "hanging": []}
            trainings.clear()
            for number in range(arguments.runs):
                experiment = f"{workload} {number}"
                told = {"nothing told": ([*SILENCE], {}),
                        "MLflow": ([], {"MLFLOW_TRACKING_URI": server.uri, "MLFLOW_EXPERIMENT_NAME": experiment}),
                        "hanging": ([], {"MLFLOW_TRACKING_URI": silent.uri})}
                trainings += [Training(arguments, recipe, kind, experiment, *settings, **variables)
                              for kind, (settings, variables) in told.items()]
            take_turns(trainings, workload, server)
            for training in trainings:
                kinds[training.kind] += training.epochs(arguments.images)
            write(arguments, figures)
            print(f"\n{workload}\n\n{table(kinds)}", flush=True)
            for training in trainings:
                if training.kind == "MLflow":
                    check_arrived(server, training)
    finally:
        for training in trainings:  # stopped ones would stay for ever
            training.process.kill()
        server.kill()


if __name__ == "__main__":
    main()
