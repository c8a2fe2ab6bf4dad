"""What runs tell trackers in these tests, and the programs that tell it."""

import json
import os
import shutil
import subprocess
import time

import pytest

LOSS = "training/supervised batch loss"
RECIPE = """
[data.train]
ops = [{ op = "random_resized_crop", size = 32 }]
[data.val]
ops = [{ op = "resize", size = 36 }, { op = "center_crop", size = 32 }]
[batch]
per_device = 8
[model]
name = "resnet18"
width = 8
[loss]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.003
[schedule]
name = "constant"
[train]
epochs = 2
log_every_steps = 1
"""
NAMES = {"loss": "supervised batch loss", "images_per_s": "Throughput", "top1": "Accuracy", "top5": "Top-5 Accuracy",
         "error": "Error"}


def environment():
    """Nobody's settings but the test's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "POLYAXON_", "CLEARML_"))}


def train(step, loss=None):
    return {"scalars": {"group": "train", "step": step, "epoch": 1, "values": {"loss": 1 / step if loss is None else loss}}}


def tell(process, *steps):
    """Hands a reporter that runs the losses of these steps."""
    for step in steps:
        process.stdin.write((json.dumps(train(step)) + "\n").encode())
    process.stdin.flush()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


RUNNING = {"status": {"state": 0, "step": 0}}
FINISHED = {"status": {"state": 1, "step": 100}}


class Reporter:
    """tracking_judge, reporting to what the environment names."""

    def __init__(self, build, folder, **variables):
        self.program, self.folder = build / "tests/tracking/tracking_judge", folder
        self.environment = {**environment(), **variables}
        folder.mkdir()

    def start(self, *waits, step=0):
        """`waits` [ms] are for the end, and until it says that it is still there."""
        return subprocess.Popen([self.program, self.folder, str(step), "0", *map(str, waits)], stdin=subprocess.PIPE, env=self.environment)

    def __call__(self, *events, step=0):
        process = self.start(step=step)
        process.communicate("".join(json.dumps(event) + "\n" for event in events).encode(), timeout=120)
        return process.returncode


class Program:
    def __init__(self, build, folder, **variables):
        self.path, self.folder = build / "millrace", folder
        self.environment = {**environment(), **variables}

    def __call__(self, *arguments):
        return subprocess.run([self.path, *map(str, arguments)], cwd=self.folder, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)

    def done(self, *arguments):
        result = self(*arguments)
        assert result.returncode == 0, result.stderr
        return result


def make_training(folder, dataset):
    """A recipe and what it trains on, in the folder."""
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "data").symlink_to(dataset)


def expected(run):
    points = {}
    for line in map(json.loads, [*(run / "metrics.jsonl").read_text().splitlines(),
                                 *(run / "timings.jsonl").read_text().splitlines()]):
        group, step, epoch = line.pop("group"), line.pop("step"), line.pop("epoch")
        for name, value in line.items():
            if isinstance(value, str):
                continue
            key = "lr/group_0" if name == "lr" else f"training/{NAMES.get(name, name)}"
            if group == "system":
                key = f"system/{name}"
            if group == "val":
                key = "validation/" + ("loss" if name == "loss" else NAMES.get(name, name))
            points.setdefault(key, []).append((epoch if group == "val" else step, value))
    return points


def evaluated_steps(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["step"] for line in lines if line["group"] == "val"]


def go_back_and_on(program, where):
    """Trains two epochs, goes back to a checkpoint within the first one and on to the third. `where` "without tracking", the
    run's folder has lost what it knew of the tracker; "elsewhere", the run goes on in another folder. Returns all points, as
    they were told first, and what was said at last."""
    arguments = ["train", "recipe.toml", "--data", "data", "--set", "checkpoint.every_steps=3", "--set", "checkpoint.keep=10"]
    program.done(*arguments, "--out", "run")
    points = expected(program.folder / "run")
    out = "run"
    if where == "elsewhere":
        out = "other"
    else:
        shutil.rmtree(program.folder / "run/tracking")
    done = program.done(*arguments, "--out", out, "--resume", "run/checkpoints/step-00000006.safetensors", "--set",
                        "train.epochs=3")
    for key, more in expected(program.folder / out).items():
        last = points[key][-1][0]
        points[key] += [(x, value) for x, value in more if x > last]
    assert [len(points[key]) for key in (LOSS, "validation/Accuracy")] == [21, 3]
    return points, done.stderr


GO_ON = pytest.mark.parametrize("where", ["without tracking", "elsewhere"])
