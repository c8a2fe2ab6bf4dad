#!/usr/bin/env python3
"""What telling trackers costs a training run on the CPU.

Trains the same recipe with nothing told (no tracker, no pictures, no histograms), with everything told and a real MLflow server
to tell it to, and with everything told and a server that takes connections and never answers. Three processes train all three
kinds one after another (train_runs), each in another order, so that what differs from process to process meets all kinds alike;
with --squares there are more of such threes. Only one process may run at a time: it goes on for a tenth of a second while the
others are stopped, and so on in turns, so that what else happens on the machine meets all alike, too. (A virtual machine's pace
changes by 15 % from second to second, less within one.) What is compared is an epoch with the same epoch of the process that
trains with nothing told at that time.

Training images/s are over the time that a run was given from the checkpoint behind the epoch before to the epoch's last step:
what is told behind an evaluation and written or sent meanwhile counts. Beside it stand the images/s with the epoch's evaluation
and checkpoint, its processor time and, of it, that of the threads which track. The server stands for another machine: it has a
turn of its own when each process has had one, and works beside a run only when the run has no epoch left and waits for it.

The pictures are made up (`millrace synth`) and stay in the scratch folder for the next time. Needs the packages of
tests/trackers/requirements.txt.

Usage: tracking_cost.py --millrace PROGRAM --train-runs PROGRAM --scratch FOLDER [options]
"""

import argparse
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
from collections.abc import Callable
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
# Steps of 0.2 to 1 s as on a CPU; and a line for each of as many steps a second as a GPU makes. An epoch of the first takes 5 to
# 25 s on two cores: short beside those that people train with. The last step of an epoch has a line.
WORKLOADS = {"default": {"size": 64, "batch": 64, "width": 64, "epochs": 7, "log_every": 5},
             "small steps": {"size": 32, "batch": 8, "width": 8, "epochs": 7, "log_every": 1}}
TURN_S = 0.1
SERVER_TURN_S = 0.02  # for each process
TOLD = {"nothing told": ["tracking.system=none", "tracking.pictures=0", "tracking.histograms=false"], "MLflow": [], "hanging": []}
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
    """One of a process's runs: what the process had used up at each epoch's last step and at the checkpoint behind it."""

    def __init__(self, folder: Path, kind: str, experiment: str):
        self.folder, self.kind, self.experiment = folder, kind, experiment
        self.seen_bytes = 0
        self.trained: list[dict[str, float]] = []
        self.kept: list[dict[str, float]] = []

    def look(self, now: Callable[[], dict[str, float]], steps: int) -> None:
        try:
            with (self.folder / "metrics.jsonl").open() as file:
                file.seek(self.seen_bytes)
                new = file.read()
        except OSError:
            return
        new = new[:new.rfind("\n") + 1]  # the line behind may be being written
        self.seen_bytes += len(new)
        for line in map(json.loads, new.splitlines()):
            if line["group"] == "train" and line["step"] % steps == 0:
                self.trained.append(now())
            elif line["group"] == "checkpoint":
                self.kept.append(now())

    def figures(self, images: int) -> list[dict[str, float]]:
        """Of each epoch but the first."""
        epochs = []
        for before, trained, kept in zip(self.kept, self.trained[1:], self.kept[1:], strict=False):
            used = {name: kept[name] - before[name] for name in kept}
            epochs.append({**used, "images_per_s": images / (trained["seconds"] - before["seconds"]),
                           "images_per_s_evaluated": images / used["seconds"]})
        return epochs


class Process:
    """Trains one run after another, and goes on only within turn() and finish()."""

    def __init__(self, arguments: argparse.Namespace, errors: Path, workload: dict):
        self.epochs, self.steps = workload["epochs"], arguments.images // workload["batch"]
        self.errors = errors
        with errors.open("w") as file:
            self.process = subprocess.Popen([arguments.train_runs], env=environment(), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=file, text=True)
        self.given_s = 0.0
        self.threads_s: dict[str, tuple[str, float]] = {}  # name and processor time [s] by number, of ended ones, too

    def begin(self, training: Training, run: dict) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.training = training
        self.process.stdin.write(json.dumps(run) + "\n")
        self.process.stdin.flush()

    def turn(self) -> bool:
        """Whether the run has epochs left."""
        self.process.send_signal(signal.SIGCONT)
        before = now = time.monotonic()
        while now < before + TURN_S and len(self.training.kept) < self.epochs:
            time.sleep(0.01)
            now = time.monotonic()
            given_s = self.given_s + now - before
            self.training.look(lambda given_s=given_s: self.used(given_s), self.steps)
            self.check(self.process.poll() is None)
        self.process.send_signal(signal.SIGSTOP)
        self.given_s += now - before
        return len(self.training.kept) < self.epochs

    def finish(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.check(self.process.stdout.readline().strip() == str(self.training.folder))

    def check(self, works: bool) -> None:
        if not works:
            sys.exit(f"tracking_cost: the training failed:\n{self.errors.read_text()}")

    def used(self, given_s: float) -> dict[str, float]:
        tick = os.sysconf("SC_CLK_TCK")
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                name, _, rest = (task / "stat").read_text().partition(" (")[2].rpartition(") ")
            except OSError:
                continue  # it has ended meanwhile
            fields = rest.split()
            self.threads_s[task.name] = (name, (int(fields[11]) + int(fields[12])) / tick)
        return {"seconds": given_s, "cpu_s": sum(used for _, used in self.threads_s.values()),
                **{thread: sum(used for name, used in self.threads_s.values() if name == thread) for thread in TRACKING_THREADS}}


def let_work(server: MlflowServer, works: bool) -> None:
    os.killpg(server.process.pid, signal.SIGCONT if works else signal.SIGSTOP)


def train(processes: list[Process], server: MlflowServer) -> None:
    """Each its run, in turns; each is the one behind the server as often as the others."""
    training = processes
    while training:
        let_work(server, False)
        left = [process for process in training if process.turn()]
        training = left[1:] + left[:1]
        let_work(server, True)
        time.sleep(SERVER_TURN_S * len(processes))
    for process in processes:
        process.process.send_signal(signal.SIGCONT)
    for process in processes:
        process.finish()


def check_arrived(server: MlflowServer, training: Training) -> None:
    found = server.run(training.experiment)
    lines = [json.loads(line) for line in (training.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if line["group"] == "train"]
    assert found["info"]["status"] == "FINISHED", found["info"]
    assert server.history(found, "training/supervised batch loss") == losses


def interval(shares: list[float]) -> str:
    """The mean of the epochs' shares, and where 95 % of the means of as many drawn from them lie (bootstrap)."""
    draw = random.Random(0)
    means = sorted(statistics.mean(draw.choices(shares, k=len(shares))) for _ in range(10_000))
    return f"{statistics.mean(shares):.2%} ({means[250]:.2%} to {means[-251]:.2%})"


def table(kinds: dict[str, list]) -> str:
    """In Markdown. Epochs of the same place in their lists took turns with each other."""
    lines = ["| | training images/s, median (least to most) | of nothing told, mean of epochs (95 %) | with evaluations | processor time "
             "of an epoch [s] | of it, the thread " + " | ".join(TRACKING_THREADS) + " |",
             "| --- " * (5 + len(TRACKING_THREADS)) + "|"]
    for kind, epochs in kinds.items():
        rates = [epoch["images_per_s"] for epoch in epochs]
        shares, evaluated = ([epoch[rate] / other[rate] for epoch, other in zip(epochs, kinds["nothing told"], strict=True)]
                             for rate in ("images_per_s", "images_per_s_evaluated"))
        used = statistics.median(epoch["cpu_s"] for epoch in epochs)
        threads = " | ".join(f"{statistics.mean(epoch[thread] / epoch['cpu_s'] for epoch in epochs):.2%}"
                             for thread in TRACKING_THREADS)
        lines.append(f"| {kind} | {statistics.median(rates):,.1f} ({min(rates):,.1f} to {max(rates):,.1f}) | {interval(shares)} | "
                     f"{interval(evaluated)} | {used:.1f} | {threads} |")
    return "\n".join(lines)


def write(arguments: argparse.Namespace, figures: dict[str, dict[str, list]]) -> None:
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"images": arguments.images, "workloads": WORKLOADS, "figures": figures},
                                             indent=2) + "\n")


def measure(arguments: argparse.Namespace, name: str, processes: list[Process], server: MlflowServer,
            silent: Silent) -> dict[str, list]:
    """The epochs of each kind. Each process begins with another kind and ends with another (a Latin square)."""
    workload, kinds = WORKLOADS[name], list(TOLD)
    recipe = arguments.scratch / "recipe.toml"
    recipe.write_text(RECIPE.format(**workload))
    processes += [Process(arguments, arguments.scratch / f"process-{number}.log", workload)
                  for number in range(len(kinds) * arguments.squares)]
    figures: dict[str, list] = {kind: [] for kind in kinds}
    uris = {"MLflow": server.uri, "hanging": silent.uri}
    for turn in range(len(kinds)):
        for number, process in enumerate(processes):
            kind = kinds[(number + turn) % len(kinds)]
            run = Training(arguments.scratch / f"{name} {kind} {number}".replace(" ", "-"), kind, f"{name} {number}")
            shutil.rmtree(run.folder, ignore_errors=True)
            variables = {"MLFLOW_TRACKING_URI": uris[kind], "MLFLOW_EXPERIMENT_NAME": run.experiment} if kind in uris else {}
            process.begin(run, {"recipe": str(recipe), "data": str(arguments.data), "out": str(run.folder), "set": TOLD[kind],
                                "environment": variables})
        train(processes, server)
        for process in processes:
            figures[process.training.kind] += process.training.figures(arguments.images)
            if process.training.kind == "MLflow":
                check_arrived(server, process.training)
    for process in processes:
        process.process.communicate()  # there is no further run
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millrace", type=Path, required=True)
    parser.add_argument("--train-runs", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1600, help="of the training set (default: %(default)s)")
    parser.add_argument("--squares", type=int, default=1, help="threes of processes (default: %(default)s)")
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
    processes: list[Process] = []
    try:
        server.start()
        for name in arguments.workloads:
            processes.clear()
            figures[name] = measure(arguments, name, processes, server, silent)
            write(arguments, figures)
            print(f"\n{name}\n\n{table(figures[name])}", flush=True)
    finally:
        for process in processes:  # stopped ones would stay for ever
            process.process.kill()
        server.kill()


if __name__ == "__main__":
    main()
